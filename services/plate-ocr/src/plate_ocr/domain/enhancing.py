"""What an enhancer has to be able to do."""

from typing import Protocol

from plate_ocr.domain.values import Picture


class PictureEnhancer(Protocol):
    """Makes more of a crop that was read weakly; costs more time than reading it."""

    @property
    def name(self) -> str:
        """Told in readiness and logs."""
        ...

    def enhance(self, crop: Picture) -> Picture:
        """The same view, of the same size or enlarged by a whole factor; the factor is that of the sizes. A crop that
        is too large to be worth it comes back as it is.
        """
        ...
