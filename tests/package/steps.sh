# shellcheck shell=bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Read by the scripts that a Debian runs: each step is one line on the console; the first that fails ends
# it, with what `last_words` of the script has to say.

say() { echo "TRIAL $*"; }
# Several lines of what a person would see.
show() { sed "s/^/TRIAL     /"; }
off() {
    sync
    systemctl poweroff
}
fail() {
    say "FAILED $*"
    last_words | show
    off
    exit 1
}
step() {
    local name=$1 out
    shift
    if out=$("$@" 2>&1); then
        say "ok $name"
    else
        printf '%s\n' "$out" | show
        fail "$name"
    fi
}
# A step that a person would read.
read_step() {
    local name=$1 out
    shift
    out=$("$@" 2>&1) || { printf '%s\n' "$out" | show; fail "$name"; }
    printf '%s\n' "$out" | show
    say "ok $name"
}
done_with_it() {
    say "DONE"
    off
}
