"""Faults in the captioned shapes: pictures, grammar, judge, figures, text conditioning."""

from mutants import Mutant

ACCURACY = "tests/library/test_accuracy.py"
CAPTIONS = "tests/library/test_captions.py"
FEATURES = "tests/book/test_shape_reader.py"
FOLDING = "tests/library/test_folding.py"
JUDGE = "tests/library/test_judge.py"
SHAPES = "tests/library/test_shapes.py"
TEXT = "tests/library/test_text.py"
TO_IMAGE = "tests/library/test_text_to_image.py"
TRAINING = "tests/library/test_shapes_training.py"

MUTANTS = [
    Mutant(
        29, 'a scene with one object drawn wrong is accepted', 'minildm/shapes/judge.py',
        'accepted = (explained.amin(1) >= EXPLAINED) & (residual <= RESIDUAL)',
        'accepted = (explained.amax(1) >= EXPLAINED) & (residual <= RESIDUAL)', (JUDGE,),
    ),
    Mutant(
        29, 'the threshold of the judge is lowered', 'minildm/shapes/judge.py',
        'EXPLAINED = 0.7 ',
        'EXPLAINED = 0.3 ', (JUDGE,),
    ),
    Mutant(
        29, 'a third object is overlooked', 'minildm/shapes/judge.py',
        'accepted &= (third < EXPLAINED) & finite',
        'accepted &= finite', (JUDGE,),
    ),
    Mutant(
        29, 'one wrong attribute is forgiven', 'minildm/shapes/judge.py',
        'joint = int(right.all(1).sum())',
        'joint = int((right.sum(1) >= 9).sum())', (ACCURACY,),
    ),
    Mutant(
        29, 'refused pictures count', 'minildm/shapes/judge.py',
        'right = (verdict.rows == rows) & verdict.accepted[:, None]',
        'right = verdict.rows == rows', (ACCURACY,),
    ),
    Mutant(
        29, 'the second object is not compared', 'minildm/shapes/captions.py',
        'return (rows == wanted) | (wanted < 0)',
        'return (rows == wanted) | (wanted < 0) | (torch.arange(10) > 5)', (CAPTIONS,),
    ),
    Mutant(
        29, 'the stripes are not looked at', 'minildm/shapes/judge.py',
        'size, fill, shape = torch.unravel_index(',
        'size, _, shape = torch.unravel_index(', (JUDGE,),
    ),
    Mutant(
        0, 'a mirrored caption is not turned', 'minildm/shapes/captions.py',
        'return Request(background, turned[relation], two, one)',
        'return Request(background, turned[relation], one, two)', (CAPTIONS,),
    ),
    Mutant(
        0, 'a mirrored caption keeps its relation', 'minildm/shapes/captions.py',
        'relation = torch.where(swap[:, :, None], _relations(True), _relations(False))',
        'relation = torch.where(swap[:, :, None], _relations(False), _relations(False))',
        (CAPTIONS,),
    ),
    Mutant(
        0, 'left out words of the wrong object', 'minildm/shapes/captions.py',
        'spoken[:, [0, 1, 4, 5]] = keep[:, :4]',
        'spoken[:, [4, 5, 0, 1]] = keep[:, :4]', (CAPTIONS,),
    ),
    Mutant(
        0, 'training captions are never turned', 'minildm/shapes/captions.py',
        'mirrored = u < TURNED',
        'mirrored = u < 0 * TURNED', (CAPTIONS, TRAINING),
    ),
    Mutant(
        34, 'colours in [0, 1]', 'minildm/shapes/scenes.py',
        'return to_unit_range(torch.tensor(list(colours.values())), 255)',
        'return to_unit_range(torch.tensor(list(colours.values())), 255) / 2 + 0.5', (SHAPES, JUDGE),
    ),
    Mutant(
        0, 'objects may touch', 'minildm/shapes/scenes.py',
        'GAP, MARGIN, DRIFT = 2, 1, 7',
        'GAP, MARGIN, DRIFT = -6, 1, 7', (SHAPES,),
    ),
    Mutant(
        0, 'down and right exchanged', 'minildm/shapes/scenes.py',
        'down, right = torch.where(upright, along, across), torch.where(upright, across, along)',
        'right, down = torch.where(upright, along, across), torch.where(upright, across, along)',
        (SHAPES, JUDGE),
    ),
    Mutant(
        0, 'held-out combinations in the training set', 'minildm/shapes/scenes.py',
        'composition, rest = rows[new], rows[~new]',
        'composition, rest = rows[new], rows', (SHAPES,),
    ),
    Mutant(
        0, 'test scenes in the training set', 'minildm/shapes/scenes.py',
        'return Splits(train, validation, test, composition)',
        'return Splits(rest, validation, test, composition)', (SHAPES,),
    ),
    Mutant(
        0, 'no antialiasing', 'minildm/shapes/scenes.py',
        'FINE = 8 ',
        'FINE = 1 ', (SHAPES,),
    ),
    Mutant(
        0, 'the bound is the share itself', 'minildm/shapes/judge.py',
        'return max(0.0, (share + z2 / (2 * tries) - spread) / (1 + z2 / tries))',
        'return share', (ACCURACY,),
    ),
    Mutant(
        0, 'copies are searched by attributes only', 'chapters/book/ch05_5_text_to_image/copies.py',
        'columns = torch.cat([rows, places.flatten(1)], dim=1)',
        'columns = torch.cat([rows, 0 * places.flatten(1)], dim=1)', (ACCURACY,),
    ),
    Mutant(
        0, 'the nearest of the last part only', 'chapters/book/ch05_5_text_to_image/copies.py',
        'closer = distance < best',
        'closer = distance < math.inf', (ACCURACY,),
    ),
    Mutant(
        31, 'all words are read as one', 'minildm/text.py',
        'x = self.words(tokens) + self.positions[: tokens.shape[1]]',
        'x = self.words(tokens) * 0 + self.positions[: tokens.shape[1]]', (TEXT,),
    ),
    Mutant(
        31, 'words have no place', 'minildm/text.py',
        'x = self.words(tokens) + self.positions[: tokens.shape[1]]',
        'x = self.words(tokens)', (TEXT,),
    ),
    Mutant(
        31, 'every image reads the first text', 'minildm/text.py',
        'words = condition if condition.is_floating_point() else self.encode(condition)',
        'words = condition if condition.is_floating_point() else self.encode(condition)\n'
        '        words = words[:1].expand_as(words)', (TEXT,),
    ),
    Mutant(
        0, 'padding is read', 'minildm/text.py',
        'mask = words.any(dim=2)',
        'mask = words.any(dim=2) | True', (TEXT,),
    ),
    Mutant(
        27, 'dropped texts keep their words', 'minildm/condition.py',
        'torch.where(drop, null(condition), condition)',
        'torch.where(drop, condition, condition)', (TEXT,),
    ),
    Mutant(
        27, 'the null text is all padding but its own word', 'minildm/text.py',
        'tokens[:, 0] = NULL',
        'tokens[:, 0] = NULL + 1', (TEXT, TO_IMAGE),
    ),
    Mutant(
        0, 'a prompt is not checked', 'minildm/text.py',
        '                check(prompt)\n',
        '                pass\n', (TEXT, TO_IMAGE),
    ),
    Mutant(
        0, 'the first word is no text', 'minildm/words.py',
        'enumerate(language.words, NULL + 1)',
        'enumerate(language.words, NULL)', (TEXT,),
    ),
    Mutant(
        0, 'an old file has words and no grammar', 'minildm/files/model.py',
        'text |= {"words": captions.WORDS, "grammar": "captions"}',
        'text |= {"words": captions.WORDS}', (TO_IMAGE,),
    ),
    Mutant(
        0, 'the gate looks at the originals', 'minildm/shapes/training.py',
        'accuracy = caption_accuracy(judge(x_hat), pictures.rows)',
        'accuracy = caption_accuracy(judge(pictures[:]), pictures.rows)', (TRAINING,),
    ),
    Mutant(
        0, 'what fails the gate is trained on', 'minildm/shapes/training.py',
        'if passed.accuracy.joint < config.gate:',
        'if False:', (TRAINING,),
    ),
    Mutant(
        0, 'captions of other pictures', 'minildm/shapes/training.py',
        'return pictures, caption_tokens(pictures.rows, u)',
        'return pictures, caption_tokens(pictures.rows.roll(1, 0), u)', (TRAINING,),
    ),
    Mutant(
        0, 'the scale is rounded with the weights', 'minildm/files/model.py',
        'if dtype is None or name in EXACT or not tensor.is_floating_point():',
        'if dtype is None or not tensor.is_floating_point():', (TO_IMAGE,),
    ),
    Mutant(
        25, 'folded pixels are not scaled', 'chapters/book/pixel_space.py',
        'return self.folding.encoder(self.x[indices]) * self.folding.scale.cpu()',
        'return self.folding.encoder(self.x[indices])', (FOLDING,),
    ),
    Mutant(
        25, 'the scale of the pixels is not measured', 'chapters/book/pixel_space.py',
        '    folding.measure_scale(pictures[torch.arange(min(len(pictures), 2000))])\n',
        '', (FOLDING,),
    ),
    Mutant(
        0, 'a pixel model is loaded as an autoencoder', 'minildm/files/model.py',
        'config.get("autoencoder_kind", "Autoencoder")',
        '"Autoencoder"', (FOLDING,),
    ),
    Mutant(
        0, 'features after the head', 'chapters/book/shape_reader.py',
        'return torch.cat([self.layers(part.to(device)).cpu() for part in x.split(batch)])',
        'return torch.cat([self.layers(part.to(device)).cpu() * 0 + 1 for part in x.split(batch)])',
        (FEATURES,),
    ),
]  # fmt: skip
