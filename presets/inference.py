"""What inference reads, writes and how its pictures look. Imports no torch."""

from __future__ import annotations

from .option import Option, depth_scale, floats, images, input_size, near_far, saved

COLORMAPS = ("plasma", "magma", "inferno", "viridis", "cividis", "turbo", "jet", "gray")

IMAGES = Option(
    "--image-path",
    (),
    "image, folder, video, pattern such as 'in/*.png', text list (.txt) of these, camera:0; several, with "
    "spaces between",
    kind=images,
    several=True,
)
INPUTS = (
    IMAGES,
    Option("--recursive", False, "search folders below folders, too; outputs keep their structure"),
    Option("--frame-step", 1, "of videos and cameras every n-th frame alone; they play as fast as before", low=1),
    Option("--output-path", "", "folder for what is written; made where missing"),
    Option("--skip-existing", False, "leave out what has its outputs already"),
)
INPUT_SIZE = input_size("inference")
SHAPE = (
    Option(
        "--fit",
        "",
        "images of another shape than the network's input: squash (published), pad, crop to the middle, or multiple: "
        "the network sees them in their own shape, at the nearest size it can take; empty: what it is made for",
        ("", "squash", "pad", "crop", "multiple"),
    ),
)
OUTPUTS = (
    Option(
        "--save",
        ("picture",),
        "what is written, separated by commas: picture; disparity, depth and seg (.npy); depth16 (16-bit .png); npz, "
        "depth with unit, intrinsics and scale; ply and glb, point clouds",
        kind=saved,
    ),
    Option("--save-arrays", False, "also write disparity, depth and class ids as .npy"),
    Option("--output-format", ".jpg", "file name extension of the pictures"),
    Option(
        "--layout",
        "stack",
        "image, classes and disparity below each other, side by side, or disparity only",
        ("stack", "side", "only"),
    ),
    Option("--colormap", "plasma", "colours of the disparity", COLORMAPS),
    Option(
        "--range",
        (),
        "NEAR,FAR, distances that get the last and the first colour; each: every picture has its own; empty: one for "
        "all pictures of a run, which in a film follows the frames slowly",
        kind=near_far,
    ),
    Option("--color-bar", False, "explain the colours below the picture, with distances"),
    Option(
        "--depth-scale",
        "none",
        "what makes metres of depth up to scale: a factor; median, the ratio of an evaluation of this checkpoint; or "
        "camera-height=METRES above the ground that is seen",
        kind=depth_scale,
    ),
    Option("--intrinsics", (), "fx,fy,cx,cy of the images, in their pixels", kind=floats),
    Option("--fov", 0.0, "horizontal field of view of the images in degrees; 0: as EXIF data tell", low=0, high=170),
)
