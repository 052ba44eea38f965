from __future__ import annotations

import base64
import random
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ciguard.inspect.shell.analysis import analyse, analyse_program
from ciguard.inspect.shell.command import Access, Script
from ciguard.inspect.shell.trait import Trait
from ciguard.inspect.shell.walk import LONGEST

RM = "rm -rf /"
HIDDEN = base64.b64encode(RM.encode()).decode()


def lines(script: Script) -> list[str]:
    return [command.line for command in script.commands]


@pytest.mark.parametrize(
    "script",
    [
        # quotes and escapes
        r"""r""m '-rf' "/" """,
        r"\rm -r\f \/",
        r"$'\x72\155' $'-rf' $'\u002f'",
        "rm \\\n  -rf \\\n  /",
        'rm -rf "/"',
        # variables
        "a=rm; $a -rf /",
        "a=r b=m; $a$b -rf /",
        "X='rm -rf'; Y=/; $X $Y",
        "a=r; a+=m; $a -rf /",
        "export CMD=rm; ${CMD} -rf /",
        'declare -r CMD=rm; "$CMD" -rf /',
        "a=rm; n=a; ${!n} -rf /",
        "a=xrm; ${a:1} -rf /",
        "a=xrmx; ${a:1:2} -rf /",
        "a=RM; ${a,,} -rf /",
        "a=lm; ${a/l/r} -rf /",
        "a=x-rm; ${a#x-} -rf /",
        "a=rm.x; ${a%.*} -rf /",
        "${unset:-rm} -rf /",
        "${x:=rm} -rf /; true $x",
        "rm${IFS}-rf${IFS}/",
        "a=(rm -rf /); ${a[@]}",
        'set -- rm -rf /; "$@"',
        "set -- / rm; $2 -rf $1",
        "if true; then a=rm; else a=ls; fi; $a -rf /",
        "true && a=rm; $a -rf /",
        "printf -v a rm; $a -rf /",
        "read -r a <<< rm; $a -rf /",
        "while read -r line; do $line; done <<< 'rm -rf /'",
        # braces
        "{rm,-rf,/}",
        "r{m,} -rf /",
        # substitutions
        "$(echo rm) -rf /",
        "`echo rm` -rf /",
        "$(printf '\\x72\\x6d') -rf /",
        "$(printf %s%s r m) -rf /",
        "$(echo mr | rev) -rf /",
        "$(echo ez | tr a-z n-za-m) -rf /",
        "$(true && echo rm) -rf /",
        "echo $(rm -rf /)",
        'echo "$(rm -rf /)"',
        "echo `rm -rf /`",
        "cat <(rm -rf /)",
        "x=$(rm -rf /)",
        ": ${x:-$(rm -rf /)}",
        "((x = $(rm -rf /)))",
        "echo $((1 + $(rm -rf /)))",
        "[[ -n $(rm -rf /) ]]",
        "cat <<EOF\n$(rm -rf /)\nEOF",
        # lists and compound commands
        "true; rm -rf /",
        "false || rm -rf / &",
        "(rm -rf /)",
        "{ rm -rf /; }",
        "! rm -rf /",
        "time -p rm -rf /",
        "ls | rm -rf /",
        "if rm -rf /; then :; fi",
        "if x; then :; elif y; then :; else rm -rf /; fi",
        "while rm -rf /; do :; done",
        "for i in 1 2; do rm -rf /; done",
        "for d in /; do rm -rf $d; done",
        "for ((i=0; i<1; i++)); do rm -rf /; done",
        "case $x in a) :;; *) rm -rf / ;; esac",
        "case x in (a|b) rm -rf /; esac",
        "coproc rm -rf /",
        "function f { rm -rf /; }",
        "f() { rm -rf $1; }; f /",
        "f() ( rm -rf / ); f",
        # scripts in words
        "bash -c 'rm -rf /'",
        "sh -ec 'rm -rf /'",
        "bash -o pipefail -c 'rm -rf /'",
        "bash -lc \"bash -c 'rm -rf /'\"",
        "bash -c '$0 -rf /' rm",
        "sh -c '\"$@\"' x rm -rf /",
        "eval 'rm -rf /'",
        "eval rm -rf /",
        "a='rm -rf /'; eval \"$a\"",
        "trap 'rm -rf /' EXIT",
        "alias x='rm -rf /'",
        "su - root -c 'rm -rf /'",
        "watch -n 1 rm -rf /",
        "ssh -p 22 host rm -rf /",
        "ssh host -- 'rm -rf /'",
        "ssh -o 'ProxyCommand=rm -rf /' host",
        "git -c alias.x='!rm -rf /' x",
        "git config alias.x '!rm -rf /'",
        "git rebase -x 'rm -rf /' main",
        "git filter-branch --tree-filter 'rm -rf /' HEAD",
        "tar cf x --checkpoint=1 --checkpoint-action=exec='rm -rf /'",
        "rsync -e 'rm -rf /' a b",
        "script -qc 'rm -rf /' /dev/null",
        "flock /tmp/x -c 'rm -rf /'",
        "env -S 'rm -rf /'",
        # programs that start others
        "sudo -u root -E rm -rf /",
        "sudo -Eu root A=b rm -rf /",
        "doas rm -rf /",
        "env -i A=b rm -rf /",
        "nohup nice -n 5 timeout -k 1 5 stdbuf -oL setsid rm -rf /",
        "command rm -rf /",
        "exec rm -rf /",
        "busybox rm -rf /",
        "xargs rm -rf <<< /",
        "echo / | xargs rm -rf",
        "echo / | xargs -I{} rm -rf {}",
        "echo 'rm -rf /' | xargs -I CMD sh -c CMD",
        "find . -exec rm -rf / ;",
        "find . -execdir rm -rf / \\; -print",
        "parallel rm -rf ::: /",
        "unshare -r rm -rf /",
        "npx -y rm -rf /",
        "uv run rm -rf /",
        "git submodule foreach rm -rf /",
        "kubectl exec -n x pod -- rm -rf /",
        # text that is fed to a shell
        "echo 'rm -rf /' | sh",
        "sh <<< 'rm -rf /'",
        "bash <<'EOF'\nrm -rf /\nEOF",
        "bash -s <<EOF\n\trm -rf /\nEOF",
        "cat <<EOF | sh\nrm -rf /\nEOF",
        "sudo sh <<-E\n\trm -rf /\n\tE",
        f"echo {HIDDEN} | base64 -d | sh",
        f'eval "$(echo {HIDDEN} | base64 --decode)"',
        f"base64 -d <<< {HIDDEN} | bash",
        f"echo {RM.encode().hex()} | xxd -r -p | sh",
        f"bash -c \"$(echo '{RM[::-1]}' | rev)\"",
        ". /dev/stdin <<< 'rm -rf /'",
        "make -f - <<EOF\nall:\n\t@rm -rf /\nEOF",
        "echo '@reboot rm -rf /' | crontab -",
        # files that the script writes first
        "echo 'rm -rf /' > x.sh; sh x.sh",
        "printf 'rm -rf /' > /tmp/x; chmod +x /tmp/x; /tmp/x",
        "cat > x.sh <<'EOF'\nrm -rf /\nEOF\nbash ./x.sh",
        "echo 'rm -rf /' | tee a.sh >/dev/null; source a.sh",
        "cd d; echo 'rm -rf /' > x; cd ..; sh d/x",
        "echo 'rm -rf' > x; truncate y; echo ' /' >> x; tr -d '\\n' < x | sh",
        # other languages
        "python3 -c \"import os; os.system('rm -rf /')\"",
        "python -c \"import subprocess as s; s.run(['rm', '-rf', '/'])\"",
        "python3 <<E\nimport os\nos.system('rm -rf /')\nE",
        "node -e \"require('child_process').execSync('rm -rf /')\"",
        "perl -e 'system(\"rm -rf /\")'",
        'perl -e \'exec("rm", "-rf", "/")\'',
        "ruby -e '`rm -rf /`'",
        "php -r 'shell_exec(\"rm -rf /\");'",
        "awk 'BEGIN { system(\"rm -rf /\") }'",
        "echo 'import os; os.system(\"rm -rf /\")' > x.py; python x.py",
    ],
)
def test_the_command_is_found_however_it_is_hidden(script: str) -> None:
    found = [command for command in analyse(script).commands if command.program == "rm"]
    assert any(command.words[-1].text == "/" for command in found), lines(analyse(script))


def test_what_a_command_gets() -> None:
    (command,) = analyse('A=1 psql -h "$HOST" 2>&1 >>out <<EOF\nDROP $X;\nEOF').commands
    assert command.program == "psql"
    assert [(word.text, word.literal) for word in command.words] == [("psql", True), ("-h", True), ("$HOST", False)]
    assert [(name, word.text) for name, word in command.assignments] == [("A", "1")]
    assert [(item.access, item.target.text) for item in command.redirections] == [(Access.APPEND, "out")]
    assert command.stdin is not None
    assert (command.stdin.text, command.stdin.literal) == ("DROP $X;\n", False)


@pytest.mark.parametrize(
    ("script", "program", "stdin"),
    [
        ("echo 'drop table x' | psql", "psql", "drop table x\n"),
        ("psql < <(echo 1)", "psql", None),
        ("cat <<E | tee log | mysql -u root\nselect 1;\nE", "mysql", "select 1;\n"),
        ("echo 'select 1' > q.sql; sqlite3 a.db < q.sql", "sqlite3", "select 1\n"),
        ("echo 'select 1' > q.sql; cat q.sql | duckdb", "duckdb", "select 1\n"),
    ],
)
def test_what_is_fed_to_a_command(script: str, program: str, stdin: str | None) -> None:
    (command,) = [command for command in analyse(script).commands if command.program == program]
    assert command.stdin is not None
    assert (command.stdin.text if command.stdin.literal else None) == stdin


def test_files_that_the_script_writes_are_known() -> None:
    files = analyse("cd a; cat > q.sql <<E\nselect 1;\nE\necho 2 >> q.sql; curl -o x.sql https://example.com").files
    assert files["a/q.sql"].text == "select 1;\n2\n"
    assert not files["a/x.sql"].literal


@pytest.mark.parametrize(
    ("script", "directory"),
    [
        ("rm x", ""),
        ("cd a && rm x", "a"),
        ("cd a; cd ../b; rm x", "b"),
        ("cd /; rm x", "/"),
        ("cd; rm x", "~"),
        ("cd ~/a; rm x", "~/a"),
        ("(cd /); rm x", ""),
        ("x=$(cd /; pwd); rm x", ""),
        ("cd / | true; rm x", ""),
        ("(cd / && rm x)", "/"),
        ("cd $X; rm x", None),
        ("cd -; rm x", None),
        ("d=/etc; cd $d; rm x", "/etc"),
        ("pushd /etc; bash -c 'rm x'", "/etc"),
    ],
)
def test_where_a_command_runs(script: str, directory: str | None) -> None:
    (command,) = [command for command in analyse(script).commands if command.program == "rm"]
    assert command.directory == directory


@pytest.mark.parametrize(
    ("script", "traits"),
    [
        ("ls -la | grep x && git status", []),
        ('a=$(git rev-parse HEAD); echo "$a"', []),
        ("curl -s https://example.com | jq .", []),
        ("curl -s https://example.com | python3 -m json.tool", []),
        ("curl https://example.com | sh", [Trait.DOWNLOADED_CODE]),
        ("wget -qO- https://example.com | sudo -E bash -s -- -y", [Trait.DOWNLOADED_CODE]),
        ("curl -s https://example.com | tee x | sed s/a/b/ | python3 -", [Trait.DOWNLOADED_CODE, Trait.INLINE_CODE]),
        ("bash <(curl -s https://example.com)", [Trait.DOWNLOADED_CODE]),
        ("source <(curl -s https://example.com)", [Trait.DOWNLOADED_CODE]),
        ('eval "$(curl -s https://example.com)"', [Trait.DOWNLOADED_CODE]),
        ('bash -c "$(wget -O - https://example.com)"', [Trait.DOWNLOADED_CODE]),
        ('x=$(curl https://example.com); eval "$x"', [Trait.DOWNLOADED_CODE]),
        ("curl -o i.sh https://example.com; chmod +x i.sh; ./i.sh", [Trait.DOWNLOADED_CODE]),
        ("curl -fsSLO https://example.com/i.sh && bash i.sh", [Trait.DOWNLOADED_CODE]),
        ("curl https://example.com > i.sh; sh i.sh", [Trait.DOWNLOADED_CODE]),
        ("curl -fsSLO https://example.com/tool.tar.gz && tar xzf tool.tar.gz", []),
        ("echo $X | base64 -d | sh", [Trait.DECODED_CODE]),
        ("zcat x.gz | sh", [Trait.DECODED_CODE]),
        ("python -c 'print(1)'", [Trait.INLINE_CODE]),
        ("cat x | sh", [Trait.UNKNOWN_CODE]),
        ('eval "$X"', [Trait.UNKNOWN_CODE]),
        ('sh -c "$X"', [Trait.UNKNOWN_CODE]),
        ("$X -rf /", [Trait.UNKNOWN_PROGRAM]),
        ("$(cat x) y", [Trait.UNKNOWN_PROGRAM]),
        ("/bin/r? -rf /", [Trait.UNKNOWN_PROGRAM]),
        ("$VENV/bin/python x.py", []),
        ('f() { "$@"; }; f ls', []),
        ("f() { f | f & }; f", [Trait.FORK_BOMB]),
        (":(){ :|:& };:", [Trait.FORK_BOMB]),
        ("if true; then", [Trait.UNREADABLE]),
        ("echo 'a", [Trait.UNREADABLE]),
        ("x" * (LONGEST + 1), [Trait.TOO_LARGE]),
        ("$(" * 100, [Trait.TOO_LARGE]),
        (":;" * 30_000, [Trait.TOO_LARGE]),
    ],
)
def test_what_is_remarkable(script: str, traits: list[Trait]) -> None:
    assert sorted(analyse(script).traits) == sorted(traits)


def test_a_text_that_is_no_script_is_searched_for_commands_all_the_same() -> None:
    script = analyse("if x; then (rm -rf '/'; echo 'oops")
    assert Trait.UNREADABLE in script.traits
    assert "rm -rf /" in lines(script)
    assert "rm -rf /" in lines(analyse('bash -c "rm -rf /'))


def test_words_of_a_program_are_no_script() -> None:
    (command,) = analyse_program(["echo", "$(rm -rf /); rm -rf /"]).commands
    assert command.program == "echo"
    assert "rm -rf /" in lines(analyse_program(["bash", "-lc", "rm -rf /"]))
    assert analyse_program([]).commands == ()


WORDS = st.text(st.sampled_from("ab$'\"\\ {},1.`*~!#é\n"), max_size=20)


@settings(max_examples=60)
@given(st.lists(WORDS, min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_words_are_what_bash_makes_of_them(words: list[str], order: random.Random) -> None:
    """Quotes are put around the words in random ways, and bash says what comes out."""
    quoted = []
    for word in words:
        ways = [
            "'" + word.replace("'", "'\\''") + "'",
            '"' + "".join(f"\\{c}" if c in '$`"\\' else c for c in word) + '"',
        ]
        ways.append("".join(f"\\{c}" if c != "\n" else "$'\\n'" for c in word) or "''")
        quoted.append(order.choice(ways))
    script = f"a=x; printf '%s\\0' {' '.join(quoted)} \"$a\"$a"
    given_by_bash = subprocess.run(["bash", "-c", script], capture_output=True, check=True).stdout.decode().split("\0")
    (command,) = analyse(script).commands
    assert [word.text for word in command.words[2:]] == given_by_bash[:-1]
    assert all(word.literal for word in command.words)


@pytest.mark.parametrize(
    "script",
    [
        "{a,b{c,d}}e{1..3}",
        "{a} {} {a,} x{,}y",
        "a='x  y'; printf $a\"$a\"",
        "a=abcabc; b=${a/b/X}${a//b/Y}${a#a}${a%c}${a##*b}${a%%b*}${a:1:2}${a: -2}; printf $b",
        "a=(1 2 3); printf ${a[@]}",
        'set -- a \'b c\'; printf "$@" $# "$1"',
        "printf $(printf '%s-%s' a b) $(echo -e 'x\\ty')",
        "a=aBc; printf ${a^^} ${a,,} ${a^}",
        "for x in a b; do printf $x; done",
        "printf \"a\\b\\$c\\\"d\" 'e\\f' $'g\\'h'",
    ],
)
def test_expansion_agrees_with_bash(script: str) -> None:
    script = (
        script.replace("printf ", "show ") if "printf $(" not in script else script.replace("printf $(", "show $(", 1)
    )
    script = script if "show" in script else f"show {script}"
    shown = "show() { printf '<%s>' \"$@\"; };"
    by_bash = subprocess.run(["bash", "-c", shown + script], capture_output=True, check=True).stdout.decode()
    calls = [command for command in analyse(script).commands if command.program == "show"]
    found = "".join(f"<{word.text}>" for command in calls for word in command.arguments if word.text != "$#")
    assert found == by_bash.replace("<2>", "") if "$#" in script else found == by_bash


SHELLISH = st.lists(
    st.sampled_from([*"ab$'\"\\ {}()<>|&;`\n[]!#=*-0\0é\ud800", "if ", "then ", "fi", "do ", "done", "<<E\n"])
).map("".join)


@settings(max_examples=300)
@given(st.one_of(st.text(), SHELLISH))
def test_any_text_has_an_analysis(text: str) -> None:
    script = analyse(text)
    assert script.traits <= set(Trait)
    assert all(command.line is not None for command in script.commands)
    analyse_program(text.split())


@pytest.mark.parametrize(
    "script",
    [
        "(" * 10_000,
        "(" * 10_000 + "a" + ")" * 10_000,
        "$(" * 10_000,
        "`" * 20_001,
        "echo a; " * 120_000,
        "\0;" * 500_000,
        "<>;" * 30_000,
        "'\"" * 30_000,
        "{a,b}" * 20_000,
        "{" * 200_000,
        "cat <<E\n" * 20_000,
        "eval " * 5_000 + "x",
        "sudo " * 10_000 + "x",
        "coproc time ! " * 5_000,
        "a=1;" + "a=$a$a;" * 100 + "echo " + "$a" * 10_000,
        "set -- " + "a " * 1_000 + ";" + 'set -- "$@" "$@";' * 40,
        "".join(f"f{n}() {{ f{n + 1}; f{n + 1}; }};" for n in range(60)) + "f0",
        "for a in 1 2 3 4 5 6 7 8; do " * 10 + "x;" + "done;" * 10,
        "$((" * 3_000 + "))" * 3_000,
        "a" + "?(a" * 5_000,
        'python -c "' + "os.system('" * 5_000,
        "[[ " * 20_000,
    ],
    ids=range(22),
)
def test_hostile_scripts_come_to_an_end_and_say_that_they_are_not_known(script: str) -> None:
    """The bounds of the walk end these long before the time limit of a test does."""
    assert analyse(script).traits or len(analyse(script).commands) == 0 or script.startswith("cat")
