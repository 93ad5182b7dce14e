# Warnings are errors; the hardening is what Debian's own builds use, and a little more.
include(CheckPIESupported)
check_pie_supported()

add_compile_definitions(_GNU_SOURCE)
add_compile_options(
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wvla -Wswitch-enum -Wmissing-prototypes
  -Wstrict-prototypes -Wformat=2 -Werror -fno-common -fstack-protector-strong)
add_link_options(-Wl,-z,relro,-z,now,-z,noexecstack)

set(SALLYPORT_SANITIZE "" CACHE STRING "sanitizers, comma-separated: address,undefined or thread")
if(SALLYPORT_SANITIZE)
  add_compile_options(-fsanitize=${SALLYPORT_SANITIZE} -fno-omit-frame-pointer
                      -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${SALLYPORT_SANITIZE} -fuse-ld=lld)
  # More than a hundred programs: lines are all that a report names, and a third of the time is saved.
  set(CMAKE_C_FLAGS_DEBUG "-g1")
elseif(CMAKE_BUILD_TYPE STREQUAL "Release" OR CMAKE_BUILD_TYPE STREQUAL "RelWithDebInfo")
  add_compile_options(-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 -fstack-clash-protection)
  # What the processor itself checks: CET, or BTI and PAC.
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|amd64)$")
    add_compile_options(-fcf-protection=full)
  elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
    add_compile_options(-mbranch-protection=standard)
  endif()
endif()
if(SALLYPORT_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
