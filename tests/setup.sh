# For web/demo and tests/run, which source it from the top of the tree: installs what is missing and builds.

log_folder=build/logs
mkdir -p "$log_folder"
# A compiler takes up to a gigabyte.
memory_gib=$(awk '/^MemAvailable/ { print int($2 / 1048576) }' /proc/meminfo)
jobs=$(nproc)
[ "$jobs" -le "$memory_gib" ] || jobs=$((memory_gib > 0 ? memory_gib : 1))
export CMAKE_BUILD_PARALLEL_LEVEL=$jobs
export npm_config_update_notifier=false npm_config_fund=false npm_config_audit=false

# Runs a command; shows its title and, should it fail, the end of what it wrote.
quietly() {
  local title=$1 log="$log_folder/${1//[^A-Za-z]/-}.log" begin=$SECONDS
  shift
  printf '%s ... ' "$title"
  if "$@" >"$log" 2>&1 </dev/null; then
    echo "done ($((SECONDS - begin)) s)"
  else
    echo "FAILED; the end of $log:"
    tail -n 40 "$log"
    return 1
  fi
}

# What must be there, as COMMAND-OR-FILE=DEBIAN-PACKAGE.
build_needs=(
  g++=g++ cmake=cmake ninja=ninja-build
  /usr/include/nlohmann/json.hpp=nlohmann-json3-dev /usr/include/tl/expected.hpp=libexpected-dev
  /usr/include/CLI/CLI.hpp=libcli11-dev /usr/include/fmt/core.h=libfmt-dev /usr/include/openssl/evp.h=libssl-dev
  '/usr/include/*/curl/curl.h=libcurl4-openssl-dev' /usr/include/catch2/catch.hpp=catch2
  /usr/include/eigen3/Eigen/Core=libeigen3-dev /usr/include/benchmark/benchmark.h=libbenchmark-dev
)
page_needs=(node=nodejs npm=npm em++=emscripten)
# Debian's Emscripten gets newer compilers (web/wasm/toolchain.cmake); an emsdk has its own.
case "$(readlink -m "$(command -v em++ || echo /usr/share/emscripten/em++)")" in
  /usr/share/emscripten/*)
    page_needs+=(/usr/lib/llvm-19/bin/clang++=clang-19 /usr/lib/llvm-19/bin/wasm-ld=lld-19 /usr/lib/llvm-19/bin/llvm-ar=llvm-19)
    ;;
esac
test_needs=(
  clang-format=clang-format clang++-19=clang-19 /usr/lib/llvm-19/bin/ld.lld=lld-19 '/usr/lib/llvm-19/lib/clang/19/lib/linux/libclang_rt.fuzzer-*.a=libclang-rt-19-dev'
  chromium=chromium chromium-headless-shell=chromium-headless-shell firefox-esr=firefox-esr aarch64-linux-gnu-g++=g++-aarch64-linux-gnu qemu-aarch64-static=qemu-user-static
)

# Installs the Debian packages of the given needs that are missing, or says which to install.
install_packages() {
  local need missing=() as_root=()
  for need; do
    command -v "${need%%=*}" >/dev/null || compgen -G "${need%%=*}" >/dev/null || missing+=("${need#*=}")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  if ! command -v apt-get >/dev/null; then
    echo "Missing here, by Debian's names: ${missing[*]}. Install them, then run this again."
    return 1
  fi
  if [ "$(id -u)" -ne 0 ]; then
    if ! sudo -n true 2>/dev/null; then
      echo "Missing here: ${missing[*]}. Install them as root, then run this again:"
      echo "  sudo apt-get install --no-install-recommends ${missing[*]}"
      return 1
    fi
    as_root=(sudo -n)
  fi
  quietly "Fetching the lists of packages" "${as_root[@]}" apt-get update &&
    quietly "Installing ${missing[*]}" "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
      apt-get install -y --no-install-recommends "${missing[@]}"
}

# The npm packages of web/, where the lock file has changed since.
install_npm_packages() {
  [ web/node_modules/.package-lock.json -nt web/package-lock.json ] || quietly "Installing npm packages" npm ci --prefix web
}

# build PRESET TARGET...
configure_options=()
build() {
  local preset=$1
  shift
  quietly "Configuring $preset" cmake --preset "$preset" "${configure_options[@]}" &&
    quietly "Building $preset" cmake --build --preset "$preset" --target "$@"
}

# build_when_idle PRESET...: to be run in a session of its own, as Linux shares the cores out among sessions and a browser has one.
build_when_idle() {
  chrt --idle --pid 0 $$ 2>/dev/null || renice -n 19 $$ >/dev/null
  [ ! -w /proc/self/autogroup ] || echo 19 >/proc/self/autogroup
  for preset; do build "$preset" all || return; done
}

# The WebAssembly modules and the page, into web/dist.
build_page() {
  install_npm_packages && quietly "Checking the types of the page" npm run --prefix web check && build web all &&
    quietly "Building the page" npm run --prefix web build
}
