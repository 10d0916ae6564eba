"""What the page is made from: all data sets, and what was loaded for each."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.requests import Request

from gallerist.browse.data_sets import DataSet, DataSets
from gallerist.browse.review import Review
from gallerist.browse.searching import Searching
from gallerist.browse.thumbnails import Thumbnails
from gallerist.browse.uploads import Uploads

if TYPE_CHECKING:
    from gallerist.browse.explaining import Explaining


class Site:
    """Shared by all requests, and by an export. root: of all results."""

    def __init__(self, root: Path) -> None:
        self.data_sets, self.uploads = DataSets(root), Uploads()

    def data_set(self, request: Request) -> DataSet:
        """The one that a request names."""
        return self.data_sets.get(request.path_params["data_set"])

    def searching(self, data: DataSet) -> Searching:
        """The experiments of a data set, ready to search."""
        return data.once("searching", lambda: Searching(data))

    def explaining(self, data: DataSet) -> "Explaining":
        """What explains the answers of a data set."""
        # Here, because it loads what few visits need.
        from gallerist.browse.explaining import Explaining

        return data.once("explaining", lambda: Explaining(data))

    def review(self, data: DataSet) -> Review:
        """The corrections of a data set."""
        return data.once("review", lambda: Review(data))

    def thumbnails(self, data: DataSet) -> Thumbnails:
        """The thumbnails of a data set."""
        return data.once("thumbnails", lambda: Thumbnails(data.folder / "thumbnails"))

    def index(self) -> dict[str, Any]:
        """All data sets that can be looked at."""
        found = []
        for name in self.data_sets.names():
            data = self.data_sets.get(name)
            first = next(iter(data.metrics.values()))
            found.append(
                {
                    "name": name,
                    "experiments": len(data.experiments),
                    "queries": first["queries"],
                    "gallery": first["gallery_images"],
                    "finished": data.comparison.finished,
                }
            )
        return {"data_sets": found}
