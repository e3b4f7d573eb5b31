"""Arrays of VTK as arrays of NumPy and the other way round."""

from typing import Any

from numpy.typing import ArrayLike, NDArray
from vtk import vtkDataArray

def numpy_to_vtk(num_array: ArrayLike, deep: bool = ..., array_type: int | None = ...) -> vtkDataArray: ...
def vtk_to_numpy(vtk_array: vtkDataArray | None) -> NDArray[Any]: ...
