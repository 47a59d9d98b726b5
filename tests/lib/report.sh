# Sections, counts and the last line of tests/run. Sourced by bash.
#
# A part is a command with its output in a log file. If the part fails, the end of the log is printed. A function of
# this file reads the counts of a part from its log, so that the last line sums up tests and not commands.

passed=0
failed=0
skipped=0
failures=()

section() {
    printf '\n== %s\n' "$*"
}

# add_counts PASSED FAILED SKIPPED
add_counts() {
    passed=$((passed + $1))
    failed=$((failed + $2))
    skipped=$((skipped + $3))
    printf '   %d passed, %d failed, %d skipped\n' "$1" "$2" "$3"
}

# The number before a word in pytest's last line ("3 failed, 40 passed in 9.1s"); 0 without that word.
pytest_number() {
    local number
    number=$(grep -E '^=*.* in [0-9.]+s' "$2" | tail -1 | grep -oE "[0-9]+ $1" | grep -oE '^[0-9]+' | head -1)
    echo "${number:-0}"
}

count_pytest() {
    local bad
    bad=$(($(pytest_number failed "$1") + $(pytest_number error "$1")))
    # A run that ended without a summary, or failed without naming a test, is one failure.
    if [ "$2" != 0 ] && [ "$bad" = 0 ]; then bad=1; fi
    add_counts "$(pytest_number passed "$1")" "$bad" "$(pytest_number skipped "$1")"
}

# ctest: "98% tests passed, 1 tests failed out of 42".
count_ctest() {
    local line bad all
    line=$(grep -E 'tests passed, [0-9]+ tests? failed out of [0-9]+' "$1" | tail -1)
    # Without that line ctest ran nothing.
    line=${line:-", 0 tests failed out of 0"}
    bad=$(sed -E 's/.*, ([0-9]+) tests? failed out of.*/\1/' <<<"$line")
    all=$(sed -E 's/.* out of ([0-9]+).*/\1/' <<<"$line")
    if [ "$2" != 0 ] && [ "$bad" = 0 ]; then bad=1 all=$((all + 1)); fi
    add_counts $((all - bad)) "$bad" 0
}

# A log in which each check is a line "ok: ...", "FAILED: ..." or "skipped: ...".
count_checks() {
    local good bad left_out
    good=$(grep -c '^ok: ' "$1" || true)
    bad=$(grep -c '^FAILED: ' "$1" || true)
    left_out=$(grep -c '^skipped: ' "$1" || true)
    grep '^skipped: ' "$1" | sed 's/^/   /'
    if [ "$2" != 0 ] && [ "$bad" = 0 ]; then bad=1; fi
    add_counts "$good" "$bad" "$left_out"
}

# The command as a whole is one test.
count_one() {
    if [ "$2" = 0 ]; then add_counts 1 0 0; else add_counts 0 1 0; fi
}

# part NAME COUNTER COMMAND...: runs COMMAND with its output in $logs/NAME.log; returns its status.
part() {
    local name=$1 counter=$2 log=$logs/$1.log status=0 begin=$SECONDS
    shift 2
    section "$name"
    "$@" >"$log" 2>&1 || status=$?
    if [ $status != 0 ]; then
        sed 's/^/   | /' "$log" | tail -"${REPORT_TAIL:-150}"
        failures+=("$name")
    fi
    "$counter" "$log" $status
    printf '   %ss, log: %s\n' $((SECONDS - begin)) "$log"
    return $status
}

# The last lines; the exit status of the whole run.
summary() {
    section "summary"
    if [ ${#failures[@]} != 0 ]; then echo "   failed: ${failures[*]}"; fi
    printf '%d passed, %d failed' "$passed" "$failed"
    if [ "$skipped" != 0 ]; then printf ', %d skipped' "$skipped"; fi
    printf '\n'
    [ "$failed" = 0 ] && [ ${#failures[@]} = 0 ] && [ "$passed" != 0 ]
}
