"""`python -m image_service`."""

from image_service.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
