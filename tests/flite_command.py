"""A command that answers as flite does: with its version, its voices, and a sound for each text, which is no speech."""

import sys
from pathlib import Path

_PROGRAM = r"""
import array, hashlib, math, os, sys, time, wave
arguments, mood = sys.argv[1:], os.environ.get("FLITE_MOOD", "")
if mood == "asleep":
    time.sleep(60)
if "--version" in arguments:
    print("flite: a small simple speech synthesizer" if mood == "stranger" else "  version: flite-VERSION Sep 2018")
    sys.exit(1)
if "-lv" in arguments:
    print("Voices available: VOICES " if mood != "stranger" else "usage: flite TEXT")
    sys.exit(0)
if mood == "broken":
    sys.exit(139)
if mood == "mute":
    print("cst_wave_save: can't open file", file=sys.stderr)
    sys.exit(0)
options = dict(zip(arguments[::2], arguments[1::2]))
pitch = 100 + hashlib.sha256((options["-voice"] + options["-t"]).encode()).digest()[0]
stretch = float(options["--setf"].removeprefix("duration_stretch="))
count = int(16000 * stretch * (1 + 0.4 * len(options["-t"].split())))
turn = 2 * math.pi * pitch / 16000
sound = (int(9000 * math.sin(math.pi * n / count) * math.sin(turn * n)) for n in range(count))
with wave.open(options["-o"], "wb") as file:
    file.setparams((1, 2, 16000, count, "NONE", ""))
    file.writeframes(array.array("h", sound).tobytes())
"""


def install(
    folder: Path, *, version: str = "2.2-current", voices: str = "kal awb_time kal16 awb rms slt"
) -> Path:
    """Write the command `flite` into `folder`. `FLITE_MOOD` in the environment lets it go wrong in the ways that the
    real one does: `asleep` (it hangs), `broken` (it crashes), `mute` (it writes nothing and ends with 0), `stranger`
    (another program of that name)."""
    path = folder / "flite"
    program = _PROGRAM.replace("VERSION", version).replace("VOICES", voices)
    path.write_text(f"#!{sys.executable} -I\n{program}")
    path.chmod(0o755)
    return path
