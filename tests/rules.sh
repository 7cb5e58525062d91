#!/usr/bin/env bash
# The rules of the house that a compiler does not check (docs/architecture.md): tests/rules.sh
set -uo pipefail
cd "$(dirname "$0")/.."
failed=0

# only PATTERN WHAT PLACE...: no header but those at PLACE may match PATTERN.
only() {
  local pattern=$1 what=$2 found
  shift 2
  found=$(grep -rnE "$pattern" include --include='*.hpp' | grep -vE "^include/qcnet/($(IFS='|'; echo "$*")):")
  [ -z "$found" ] || complain "$what only in $*" "$found"
}
complain() {
  failed=1
  printf 'FAILED  %s\n' "$1"
  printf '        %s\n' "${2//$'\n'/$'\n'        }"
}

only '#[[:space:]]*pragma omp' '#pragma omp' 'core/parallel\.hpp'
only '#[[:space:]]*include <xsimd' '#include <xsimd>' 'simd/vec\.hpp'
only '^[^/"]*\bthrow\b' 'throw' 'core/result\.hpp'
only '__AVX|__SSE|__ARM|__aarch64__|__arm__|__FMA__|_M_X64|__x86_64__' 'target macros' 'simd/isa\.hpp' '[a-z]+/arch/[a-z0-9_]+\.hpp'
only 'using namespace' '"using namespace"' 'nowhere'

# A floor includes only floors below it; rooms of one floor that know each other are named.
declare -A floor=([core]=0 [simd]=0 [io]=1 [kernels]=1 [bits]=1 [layers]=2 [models]=3 [vision]=3 [split]=4)
may='^(core simd|simd core)$'
while IFS=: read -r file line text; do
  from=$(cut -d/ -f3 <<<"$file")
  to=$(sed -E 's|.*<qcnet/([^/>]+)/.*|\1|' <<<"$text")
  [[ $from == *.hpp || $from == "$to" || "$from $to" =~ $may ]] && continue  # the umbrellas stand above all floors
  if [ -z "${floor[$from]:-}" ] || [ -z "${floor[$to]:-}" ]; then
    complain "every folder has a floor" "$file:$line: $text"
  elif [ "${floor[$to]}" -ge "${floor[$from]}" ]; then
    complain "$from/ does not include $to/" "$file:$line: $text"
  fi
done < <(grep -rnE '#include <qcnet/[a-z0-9_]+/' include --include='*.hpp')

# Nothing of a server in a node.
flags=(-std=c++20 -march=native -I include)
includes=$("${CXX:-c++}" "${flags[@]}" -M include/qcnet/node.hpp 2>&1) || complain "node.hpp compiles" "$includes"
if server=$(tr ' ' '\n' <<<"$includes" |
  grep -E 'qcnet/(server\.hpp|split/(server|detector|packet_assembler|partial_frame|code_dequantizer|compensator|conv_compensator|token_compensator|linear_dequantizer)\.hpp|bits/lookup)'); then
  complain "a node includes no server code" "$server"
fi

for header in $(find include -name '*.hpp' | sort); do
  lines=$(wc -l <"$header")
  [ "$lines" -le 350 ] || complain "no header above 350 lines" "$header has $lines"
done
alone() {
  local said
  said=$("${CXX:-c++}" $FLAGS -Wall -Wextra -Werror -fsyntax-only -x c++ - <<<"#include \"$1\"" 2>&1) || printf '%s\n' "$1" "$said"
}
export -f alone
# The files of the instruction sets compile alone on their own machines; vec.hpp includes the one of this.
said=$(find include -name '*.hpp' -not -path '*/arch/*' -print0 | sort -z |
  FLAGS=${flags[*]} xargs -0 -n 1 -P "$(nproc)" bash -c 'alone "$1"' bash) || said="xargs failed: $said"
[ -z "$said" ] || complain "every header compiles alone" "$said"

# Objects of different instruction sets, and of none with exceptions, keep different symbols.
sets=(-mssse3 -msse4.1 -msse4.2 -mavx '-mavx -mfma' -mavx2 '-mavx2 -mfma' '-mavx512f -mfma' -march=x86-64-v4
  -march=sapphirerapids -DQCNET_SCALAR '-DQCNET_SCALAR -mavx' '-DQCNET_SCALAR -mavx2 -mfma' -fno-exceptions)
[ "$(uname -m)" = x86_64 ] || sets=(-DQCNET_SCALAR -fno-exceptions)
[ "$(uname -m)" != aarch64 ] || sets+=(-march=armv8.2-a+sve -march=armv9-a)
names=$(for set in -O2 "${sets[@]}"; do  # -O2: the compiler's own
  read -ra set <<<"$set"
  "${CXX:-c++}" -std=c++20 -I include "${set[@]}" -E -P -x c++ - <<<$'#include <qcnet/simd/isa.hpp>\nQCNET_ABI' | tail -n 1
done | sort)
[ "$(uniq <<<"$names" | wc -l)" = $((${#sets[@]} + 1)) ] ||
  complain "one namespace for each of $((${#sets[@]} + 1)) instruction sets" "$names"

if git rev-parse --verify --quiet HEAD >/dev/null; then
  todo=$(git grep -nIE '\b(TODO|FIXME|XXX)\b' -- . ':!tests/rules.sh')
  [ -z "$todo" ] || complain "no TODO, FIXME" "$todo"

  # Git itself tells text from binary: against the empty tree, a binary file has no line counts.
  binaries=$(git diff --numstat "$(git hash-object -t tree /dev/null)" HEAD |
    awk -F'\t' '$1 == "-" {print $3}' | grep -vE '^(weights/shipped|tests/golden|tests/corpus)/')
  [ -z "$binaries" ] || complain "binary files only in weights/shipped, tests/golden, tests/corpus" "$binaries"
else
  echo "skipped: rules about what is in git, as this is no checkout"
fi

[ $failed = 0 ] && echo "ok      the rules of the house hold"
exit $failed
