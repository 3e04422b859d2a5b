"""The commands: `plate-ocr serve`, `plate-ocr read`."""

import argparse
import os
import sys
from pathlib import Path

from plate_ocr.reading import read_files

NAME = "plate-ocr"


def main() -> None:
    """The program's entry."""
    parser = argparse.ArgumentParser(prog=NAME, description="Pictures in, plates out.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve", help="run the service until it is told to stop")
    reading = commands.add_parser("read", help="read the plates in pictures; needs nothing else")
    reading.add_argument("--json", action="store_true", help="one JSON object a picture, a line each")
    reading.add_argument(
        "--regions",
        default="",
        help="regions that the plates may come from, comma separated: ae, ae-du, us-tx",
    )
    reading.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a picture, or a folder of them")
    arguments = parser.parse_args()
    if arguments.command == "serve":
        _serve()
    else:
        regions = tuple(filter(None, (region.strip() for region in arguments.regions.split(","))))
        sys.exit(_read(arguments.files, regions, as_json=arguments.json))


def _serve() -> None:
    # The service's libraries (bus, database, HTTP, gRPC) take two seconds to import; `read` does without them.
    from kit.service import run  # noqa: PLC0415
    from kit.settings import load  # noqa: PLC0415
    from plate_ocr.settings import PlateOcrSettings  # noqa: PLC0415
    from plate_ocr.wiring import build  # noqa: PLC0415

    settings = load(PlateOcrSettings)
    run(lambda: [build(settings)])


def _read(files: list[Path], regions: tuple[str, ...], *, as_json: bool) -> int:
    try:
        return read_files(files, regions, as_json=as_json)
    except BrokenPipeError:
        # The reader of the output has seen enough (`| head`). Python would complain again while it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


if __name__ == "__main__":
    main()
