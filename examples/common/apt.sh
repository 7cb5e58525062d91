# need PACKAGE...: installs through apt what is not installed yet. Sourced by scripts.
need() {
  local package missing=()
  for package; do
    # A line for each architecture that it is there for.
    dpkg-query -W -f='${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  if ! command -v apt-get >/dev/null; then
    echo "$0: this script installs its tools through apt, for Debian 12; elsewhere install what these packages hold, and build with CMake as the README says: ${missing[*]}" >&2
    return 1
  elif [ "$(id -u)" != 0 ]; then
    echo "$0: these packages are missing, install them as root: apt-get install ${missing[*]}" >&2
    return 1
  fi
  echo "Installing ${missing[*]}"
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
      "${missing[@]}"; } >/dev/null || { echo "$0: apt could not install ${missing[*]}" >&2; return 1; }
}
