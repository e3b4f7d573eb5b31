"""Double of the module SampleData: registering samples and getting them, from files or by a function of the module."""

from __future__ import annotations

import dataclasses
import urllib.request
from pathlib import Path
from typing import Any

import slicer

_FIELDS = ("uris", "fileNames", "nodeNames", "checksums", "loadFiles", "loadFileTypes")


@dataclasses.dataclass(eq=True)
class SampleDataSource:
    """One sample; whatever may be several is kept in lists."""

    sampleName: str | None = None
    sampleDescription: str | None = None
    uris: Any = None
    fileNames: Any = None
    nodeNames: Any = None
    checksums: Any = None
    loadFiles: Any = None
    customDownloader: Any = None
    thumbnailFileName: str | None = None
    loadFileTypes: Any = None
    loadFileProperties: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        """As in Slicer: text becomes lists of one, and beside a list of URIs what is not given becomes as many Nones.
        Without URIs, which a sample with a customDownloader may forget, this fails; an empty list will do."""
        self.sampleDescription = self.sampleDescription or self.sampleName
        if isinstance(self.uris, str):
            for name in _FIELDS:
                setattr(self, name, [getattr(self, name)])
        elif isinstance(self.uris, list | tuple):
            if isinstance(self.loadFileTypes, str | None):
                self.loadFileTypes = [self.loadFileTypes] * len(self.uris)
            for name in ("nodeNames", "loadFiles", "checksums"):
                if getattr(self, name) is None:
                    setattr(self, name, [None] * len(self.uris))
        lengths = {name: len(getattr(self, name)) for name in _FIELDS}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"All fields of sample data source must have the same length: {lengths}")


class SampleDataLogic:
    """The registered samples are in slicer.modules.sampleDataSources."""

    def __init__(self, logMessage: Any = None) -> None:
        self.logMessage = logMessage

    @staticmethod
    def registerCustomSampleDataCategory(category: str, title: str) -> None:
        titles = vars(slicer.modules).setdefault("sampleDataSourceCategories", {})
        titles.setdefault(category, {})["title"] = title

    @staticmethod
    def registerCustomSampleDataSource(
        category: str = "Custom",
        sampleName: str | None = None,
        uris: Any = None,
        fileNames: Any = None,
        nodeNames: Any = None,
        customDownloader: Any = None,
        thumbnailFileName: str | None = None,
        loadFileTypes: Any = None,
        loadFiles: Any = None,
        loadFileProperties: dict[str, Any] | None = None,
        checksums: Any = None,
        loadFileType: Any = None,
    ) -> None:
        source = SampleDataSource(
            sampleName=sampleName,
            uris=uris,
            fileNames=fileNames,
            nodeNames=nodeNames,
            thumbnailFileName=thumbnailFileName,
            loadFileTypes=loadFileTypes or loadFileType,
            loadFiles=loadFiles,
            loadFileProperties=loadFileProperties or {},
            checksums=checksums,
            customDownloader=customDownloader,
        )
        if not SampleDataLogic.isSampleDataSourceRegistered(category, source):
            SampleDataLogic.sampleDataSourcesByCategory().setdefault(category, []).append(source)

    @staticmethod
    def sampleDataSourcesByCategory(category: str | None = None) -> Any:
        sources = vars(slicer.modules).setdefault("sampleDataSources", {})
        return sources if category is None else sources.get(category, [])

    @staticmethod
    def isSampleDataSourceRegistered(category: str, sampleDataSource: SampleDataSource) -> bool:
        return sampleDataSource in SampleDataLogic.sampleDataSourcesByCategory(category)

    def sourceForSampleName(self, sampleName: str) -> SampleDataSource | None:
        everything = self.sampleDataSourcesByCategory().values()
        return next((s for sources in everything for s in sources if s.sampleName == sampleName), None)

    def downloadFromSource(self, source: SampleDataSource, maximumAttemptsCount: int = 3) -> list[Any]:
        folder = Path(slicer.mrmlScene.GetCacheManager().GetRemoteCacheDirectory())
        results = []
        parts = (source.uris, source.fileNames, source.nodeNames, source.checksums, source.loadFileTypes)
        for uri, file_name, node_name, checksum, kind in zip(*parts, strict=False):
            path = folder / file_name
            urllib.request.urlretrieve(uri, path)
            algorithm, expected = slicer.util.extractAlgoAndDigest(checksum) if checksum else (None, None)
            if algorithm and slicer.util.computeChecksum(algorithm, str(path)) != expected:
                raise ValueError(f"{path}: wrong checksum")
            results.append(
                slicer.util.loadNodeFromFile(str(path), kind, {"name": node_name}) if node_name else str(path)
            )
        return results

    def downloadSamples(self, sampleName: str) -> list[Any]:
        """As in Slicer, a customDownloader is not asked: only the button in the module Sample Data does that."""
        source = self.sourceForSampleName(sampleName)
        return self.downloadFromSource(source) if source else []


def downloadSample(sampleName: str) -> Any:
    return SampleDataLogic().downloadSamples(sampleName)[0]


def downloadSamples(sampleName: str) -> list[Any]:
    return SampleDataLogic().downloadSamples(sampleName)


NAMES = ("SampleDataLogic", "SampleDataSource", "downloadSample", "downloadSamples")
