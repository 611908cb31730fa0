"""Faults in the captioned shapes: pictures, grammar, judge, figures, text conditioning."""

from mutants import Mutant

ACCURACY = "tests/test_accuracy.py"
CAPTIONS = "tests/test_captions.py"
FEATURES = "tests/test_features.py"
FOLDING = "tests/test_folding.py"
JUDGE = "tests/test_judge.py"
SHAPES = "tests/test_shapes.py"
TEXT = "tests/test_text.py"
TO_IMAGE = "tests/test_text_to_image.py"
TRAINING = "tests/test_shapes_training.py"

MUTANTS = [
    Mutant(
        29, 'a scene with one object drawn wrong is accepted', 'judge.py',
        'accepted = (explained.amin(1) >= EXPLAINED) & (residual <= RESIDUAL)',
        'accepted = (explained.amax(1) >= EXPLAINED) & (residual <= RESIDUAL)', (JUDGE,),
    ),
    Mutant(
        29, 'the threshold of the judge is lowered', 'judge.py',
        'EXPLAINED = 0.7 ',
        'EXPLAINED = 0.3 ', (JUDGE,),
    ),
    Mutant(
        29, 'a third object is overlooked', 'judge.py',
        'accepted &= (third < EXPLAINED) & finite',
        'accepted &= finite', (JUDGE,),
    ),
    Mutant(
        29, 'one wrong attribute is forgiven', 'accuracy.py',
        'joint = int(right.all(1).sum())',
        'joint = int((right.sum(1) >= 9).sum())', (ACCURACY,),
    ),
    Mutant(
        29, 'refused pictures count', 'accuracy.py',
        'right = (verdict.rows == rows) & verdict.accepted[:, None]',
        'right = verdict.rows == rows', (ACCURACY,),
    ),
    Mutant(
        29, 'the second object is not compared', 'captions.py',
        'return (rows == wanted) | (wanted < 0)',
        'return (rows == wanted) | (wanted < 0) | (torch.arange(10) > 5)', (CAPTIONS,),
    ),
    Mutant(
        29, 'the stripes are not looked at', 'judge.py',
        'size, fill, shape = torch.unravel_index(',
        'size, _, shape = torch.unravel_index(', (JUDGE,),
    ),
    Mutant(
        0, 'a mirrored caption is not turned', 'captions.py',
        'return Request(background, turned[relation], two, one)',
        'return Request(background, turned[relation], one, two)', (CAPTIONS,),
    ),
    Mutant(
        0, 'a mirrored caption keeps its relation', 'captions.py',
        'relation = torch.where(swap[:, :, None], _relations(True), _relations(False))',
        'relation = torch.where(swap[:, :, None], _relations(False), _relations(False))',
        (CAPTIONS,),
    ),
    Mutant(
        0, 'left out words of the wrong object', 'captions.py',
        'keep_one = torch.where(swap, keep_second, keep_first)',
        'keep_one = torch.where(swap, keep_first, keep_second)', (CAPTIONS,),
    ),
    Mutant(
        0, 'training captions are never turned', 'captions.py',
        'mirrored = u < TURNED',
        'mirrored = u < 0 * TURNED', (CAPTIONS, TRAINING),
    ),
    Mutant(
        34, 'colours in [0, 1]', 'shapes.py',
        'return x.float() * (2 / 255) - 1',
        'return x.float() / 255', (SHAPES, JUDGE),
    ),
    Mutant(
        0, 'objects may touch', 'shapes.py',
        'GAP, MARGIN, DRIFT = 2, 1, 7',
        'GAP, MARGIN, DRIFT = -6, 1, 7', (SHAPES,),
    ),
    Mutant(
        0, 'down and right exchanged', 'shapes.py',
        'down, right = torch.where(upright, along, across), torch.where(upright, across, along)',
        'right, down = torch.where(upright, along, across), torch.where(upright, across, along)',
        (SHAPES, JUDGE),
    ),
    Mutant(
        0, 'held-out combinations in the training set', 'shapes.py',
        'composition, rest = rows[new], rows[~new]',
        'composition, rest = rows[new], rows', (SHAPES,),
    ),
    Mutant(
        0, 'test scenes in the training set', 'shapes.py',
        'parts = rest.split([len(rest) - sum(sizes), *sizes])',
        'parts = rest, *rest.split([len(rest) - sum(sizes), *sizes])[1:]', (SHAPES,),
    ),
    Mutant(
        0, 'no antialiasing', 'shapes.py',
        'FINE = 8 ',
        'FINE = 1 ', (SHAPES,),
    ),
    Mutant(
        0, 'the bound is the share itself', 'accuracy.py',
        'return max(0.0, (share + z2 / (2 * tries) - spread) / (1 + z2 / tries))',
        'return share', (ACCURACY,),
    ),
    Mutant(
        0, 'copies are searched by attributes only', 'accuracy.py',
        'columns = torch.cat([rows, places.flatten(1)], dim=1)',
        'columns = torch.cat([rows, 0 * places.flatten(1)], dim=1)', (ACCURACY,),
    ),
    Mutant(
        0, 'the nearest of the last part only', 'accuracy.py',
        'closer = distance < best',
        'closer = distance < math.inf', (ACCURACY,),
    ),
    Mutant(
        31, 'all words are read as one', 'text.py',
        'x = self.words(tokens) + self.positions[: tokens.shape[1]]',
        'x = self.words(tokens) * 0 + self.positions[: tokens.shape[1]]', (TEXT,),
    ),
    Mutant(
        31, 'words have no place', 'text.py',
        'x = self.words(tokens) + self.positions[: tokens.shape[1]]',
        'x = self.words(tokens)', (TEXT,),
    ),
    Mutant(
        31, 'every image reads the first text', 'text.py',
        'words = condition if condition.is_floating_point() else self.encode(condition)',
        'words = condition if condition.is_floating_point() else self.encode(condition)\n'
        '        words = words[:1].expand_as(words)', (TEXT,),
    ),
    Mutant(
        0, 'padding is read', 'text.py',
        'mask = words.any(dim=2)',
        'mask = words.any(dim=2) | True', (TEXT,),
    ),
    Mutant(
        27, 'dropped texts keep their words', 'text.py',
        'condition = torch.where(drop, self.null(condition), condition)',
        'condition = torch.where(drop, condition, condition)', (TEXT,),
    ),
    Mutant(
        27, 'the null text is all padding but its own word', 'text.py',
        'tokens[:, 0] = NULL',
        'tokens[:, 0] = NULL + 1', (TEXT, TO_IMAGE),
    ),
    Mutant(
        0, 'a prompt is not checked', 'text.py',
        '                read(prompt)\n',
        '                pass\n', (TEXT, TO_IMAGE),
    ),
    Mutant(
        0, 'the gate looks at the originals', 'shapes_training.py',
        'accuracy = caption_accuracy(judge(x_hat), pictures.rows)',
        'accuracy = caption_accuracy(judge(pictures[:]), pictures.rows)', (TRAINING,),
    ),
    Mutant(
        0, 'what fails the gate is trained on', 'shapes_training.py',
        'if passed.accuracy.joint < config.gate:',
        'if False:', (TRAINING,),
    ),
    Mutant(
        0, 'captions of other pictures', 'shapes_training.py',
        'return pictures, caption_tokens(pictures.rows, u)',
        'return pictures, caption_tokens(pictures.rows.roll(1, 0), u)', (TRAINING,),
    ),
    Mutant(
        0, 'the scale is rounded with the weights', 'model_file.py',
        'if dtype is None or name in EXACT or not tensor.is_floating_point():',
        'if dtype is None or not tensor.is_floating_point():', (TO_IMAGE,),
    ),
    Mutant(
        25, 'folded pixels are not scaled', 'folding.py',
        'return self.folding.encoder(self.x[indices]) * self.folding.scale.cpu()',
        'return self.folding.encoder(self.x[indices])', (FOLDING,),
    ),
    Mutant(
        25, 'the scale of the pixels is not measured', 'pixel_space.py',
        '    folding.measure_scale(pictures[torch.arange(min(len(pictures), 2000))])\n',
        '', (FOLDING,),
    ),
    Mutant(
        0, 'a pixel model is loaded as an autoencoder', 'model_file.py',
        'config.get("autoencoder_kind", "Autoencoder")',
        '"Autoencoder"', (FOLDING,),
    ),
    Mutant(
        0, 'features after the head', 'features.py',
        'return torch.cat([self.layers(part.to(device)).cpu() for part in x.split(batch)])',
        'return torch.cat([self.layers(part.to(device)).cpu() * 0 + 1 for part in x.split(batch)])',
        (FEATURES,),
    ),
]  # fmt: skip
