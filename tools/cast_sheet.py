"""Draw the cast with all seven expressions on one sheet, or every action unit on one character.

python tools/cast_sheet.py docs/images/cast.png
python tools/cast_sheet.py docs/images/action_units.png --action-units finn
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pydeepexpr.cli import run
from pydeepexpr.errors import UserError
from pydeepexpr.expressions import EXPRESSIONS
from pydeepexpr.rig.action_units import AU_NAMES, AU_TO_MUSCLES, activations
from pydeepexpr.rig.cast import CAST, Character
from pydeepexpr.rig.head import Head
from pydeepexpr.rig.pose import Pose, expression_pose
from pydeepexpr.rig.rasteriser import over, render

PAPER, INK, FAINT = (246, 245, 243), (40, 40, 44), (110, 110, 116)  # RGB
GAP = 6


def portraits(character: Character, poses: Sequence[Pose], size: int) -> list[np.ndarray]:
    """Return a character's pictures, (size, size, 3) RGB."""
    head = Head(character.identity)
    frames = (render(head.pose(pose), character.camera, character.lights, size, samples=4) for pose in poses)
    return [over(frame, PAPER[::-1])[..., ::-1] for frame in frames]


def cast_sheet(size: int = 178, margin: int = 100) -> Image.Image:
    """Return the sheet of the cast: a row a character, a column an expression."""
    poses = [expression_pose(expression) for expression in EXPRESSIONS]
    step, heading = size + GAP, 30
    sheet = Image.new("RGB", (margin + len(poses) * step, heading + len(CAST) * step), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(17)
    for column, expression in enumerate(EXPRESSIONS):
        draw.text((margin + column * step + size / 2, heading / 2), expression, FAINT, font, "mm")
    for row, (name, character) in enumerate(CAST.items()):
        top = heading + row * step
        draw.text((margin - 14, top + size / 2), name, INK, font, "rm")
        for column, picture in enumerate(portraits(character, poses, size)):
            sheet.paste(Image.fromarray(picture), (margin + column * step, top))
    return sheet


def action_unit_sheet(name: str, size: int = 274, columns: int = 5) -> Image.Image:
    """Return the sheet of single action units at full intensity; the character's muscles pull as far as on average."""
    if name not in CAST:
        raise UserError(f"there is no character {name!r}; the cast is: {', '.join(CAST)}")
    poses = {"at rest": Pose()} | {f"{unit}  {AU_NAMES[unit]}": Pose(activations({unit: 1})) for unit in AU_TO_MUSCLES}
    identity, camera = CAST[name].identity, CAST[name].camera
    character = replace(
        CAST[name],
        identity=replace(identity, motion=1.0),
        camera=replace(camera, field=0.72 * camera.field, centre=(0.0, -2.5)),
    )
    pictures = portraits(character, list(poses.values()), size)
    caption = 26
    step, down = size + GAP, size + caption + GAP
    sheet = Image.new("RGB", (columns * step + GAP, -(-len(poses) // columns) * down + GAP), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(16)
    for number, (label, picture) in enumerate(zip(poses, pictures, strict=True)):
        row, column = divmod(number, columns)
        left, top = GAP + column * step, GAP + row * down
        sheet.paste(Image.fromarray(picture), (left, top))
        draw.text((left + size / 2, top + size + caption / 2), label, INK, font, "mm")
    return sheet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", metavar="OUT", help="the picture to write (PNG)")
    parser.add_argument("--action-units", metavar="NAME", help="show single action units on this character instead")
    given = parser.parse_args()
    sheet = action_unit_sheet(given.action_units) if given.action_units is not None else cast_sheet()
    try:
        sheet.save(given.out, optimize=True)
    except ValueError as error:
        raise UserError(f"cannot write {given.out}: {error}") from None
    print(f"{given.out}: {sheet.width} x {sheet.height}")


if __name__ == "__main__":
    run(main)
