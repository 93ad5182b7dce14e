# Every foreign library, by its Debian name; a part links those that it needs, under these names.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
set(LIBS_PKG
  ldns:ldns uv:libuv sodium:libsodium sqlite3:sqlite3 nftnl:libnftnl mnl:libmnl
  conntrack:libnetfilter_conntrack crypto:libcrypto fyaml:libfyaml seccomp:libseccomp cap:libcap
  jansson:jansson idn2:libidn2)
foreach(pair ${LIBS_PKG})
  string(REPLACE ":" ";" pair ${pair})
  list(GET pair 0 name)
  list(GET pair 1 module)
  pkg_check_modules(${name} REQUIRED IMPORTED_TARGET ${module})
  add_library(lib::${name} ALIAS PkgConfig::${name})
endforeach()
