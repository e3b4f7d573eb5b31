"""Does the backend work under the interpreter that Slicer brings along? Needs nothing but the standard library."""

import importlib.util
import pathlib
import unittest


class XRayRegistrationInstallTest(unittest.TestCase):
    """The backend as a Slicer user gets it: found beside the module, torch installed or not."""

    def packageFolder(self) -> pathlib.Path:
        spec = importlib.util.find_spec("xrayreg")
        self.assertIsNotNone(spec, "xrayreg is not on the module path: is the module listed in its CMakeLists.txt?")
        return pathlib.Path(spec.origin).parent

    def test_every_file_compiles(self):
        sources = sorted(self.packageFolder().rglob("*.py"))
        self.assertGreater(len(sources), 1)
        for source in sources:
            with self.subTest(source.name):
                compile(source.read_text(encoding="utf-8"), str(source), "exec")

    def test_it_says_its_version(self):
        import xrayreg

        self.assertRegex(xrayreg.__version__, r"^\d+\.\d+\.\d+")
