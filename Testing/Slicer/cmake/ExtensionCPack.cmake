# Part of the stand-in for Slicer: checks the extension's description and packs what would be installed.

foreach(name HOMEPAGE CONTRIBUTORS DESCRIPTION ICONURL SCREENSHOTURLS DEPENDS)
  if("${EXTENSION_${name}}" STREQUAL "")
    message(FATAL_ERROR "EXTENSION_${name} must not be empty")
  endif()
endforeach()
foreach(name LICENSE_FILE README_FILE)
  if(EXTENSION_${name} AND NOT EXISTS ${EXTENSION_${name}})
    message(FATAL_ERROR "EXTENSION_${name} names ${EXTENSION_${name}}, which does not exist")
  endif()
endforeach()

set(CPACK_GENERATOR TGZ)
set(CPACK_PACKAGE_FILE_NAME ${PROJECT_NAME})
include(CPack)
