# Stands in for a Slicer build folder, so that the extension's CMake files can be tried without Slicer:
#
#   cmake -S . -B build -DSlicer_DIR=$PWD/Testing/Slicer/cmake
#   ctest --test-dir build -N        lists the tests
#   cpack --config build/CPackConfig.cmake -B build     packs what would be installed
#
# It offers the macros that a scripted extension uses, with the same arguments, and is stricter in one point: a file
# that lies in a module's folder and is not listed is an error.

set(Slicer_FOUND TRUE)
set(Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR lib/Slicer-5.12/qt-scripted-modules)

set(_folder ${CMAKE_BINARY_DIR}/SlicerStandIn)
set(Slicer_USE_FILE ${_folder}/UseSlicer.cmake)
set(Slicer_EXTENSION_GENERATE_CONFIG ${_folder}/GenerateConfig.cmake)
set(Slicer_EXTENSION_CPACK ${CMAKE_CURRENT_LIST_DIR}/ExtensionCPack.cmake)
file(WRITE ${Slicer_USE_FILE} "include(CTest)\n")
file(WRITE ${Slicer_EXTENSION_GENERATE_CONFIG} "")

find_program(StandIn_PYTHON NAMES python3 python)

# Unlisted files of the current module folder, relative to it.
function(_stand_in_unlisted result)
  file(GLOB_RECURSE present RELATIVE ${CMAKE_CURRENT_SOURCE_DIR} *.py Resources/*)
  list(FILTER present EXCLUDE REGEX "(^|/)(Testing|build|\\.[^/]*|__pycache__)/")
  list(REMOVE_ITEM present ${ARGN})
  set(${result} "${present}" PARENT_SCOPE)
endfunction()

function(slicerMacroBuildScriptedModule)
  cmake_parse_arguments(module "WITH_GENERIC_TESTS;WITH_SUBDIR;VERBOSE" "NAME" "SCRIPTS;RESOURCES" ${ARGN})
  if(NOT module_NAME OR module_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "slicerMacroBuildScriptedModule: NAME missing or unknown words: ${module_UNPARSED_ARGUMENTS}")
  endif()
  foreach(file IN LISTS module_SCRIPTS module_RESOURCES)
    if(NOT EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/${file})
      message(FATAL_ERROR "${module_NAME}: ${file} is listed but does not exist")
    endif()
    get_filename_component(subfolder "${file}" DIRECTORY)
    install(FILES ${file} DESTINATION ${Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR}/${subfolder})
  endforeach()
  _stand_in_unlisted(unlisted ${module_SCRIPTS} ${module_RESOURCES})
  if(unlisted)
    message(FATAL_ERROR "${module_NAME}: not listed, so never installed: ${unlisted}")
  endif()
  if(BUILD_TESTING AND module_WITH_GENERIC_TESTS)
    add_test(NAME py_nomainwindow_qSlicer${module_NAME}ModuleGenericTest COMMAND ${CMAKE_COMMAND} -E true)
  endif()
endfunction()

# Slicer runs the test class of the same name inside the application. Here a script that needs no Slicer is run by
# plain Python; one that does is skipped.
function(slicer_add_python_unittest)
  cmake_parse_arguments(test "" "SCRIPT;TESTNAME_PREFIX" "SLICER_ARGS" ${ARGN})
  get_filename_component(name ${test_SCRIPT} NAME_WE)
  set(script ${CMAKE_CURRENT_SOURCE_DIR}/${test_SCRIPT})
  if(NOT EXISTS ${script})
    message(FATAL_ERROR "test script ${test_SCRIPT} does not exist")
  endif()
  add_test(NAME py_${test_TESTNAME_PREFIX}${name} COMMAND ${StandIn_PYTHON} -m unittest ${script})
  set_tests_properties(py_${test_TESTNAME_PREFIX}${name} PROPERTIES
    WORKING_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR}
    ENVIRONMENT "PYTHONPATH=${CMAKE_SOURCE_DIR}/XRayRegistration")
  file(STRINGS ${script} needs_slicer REGEX "^ *(import|from) slicer")
  if(needs_slicer)
    set_tests_properties(py_${test_TESTNAME_PREFIX}${name} PROPERTIES DISABLED TRUE)
  endif()
endfunction()
