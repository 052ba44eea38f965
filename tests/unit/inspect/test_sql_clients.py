from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciguard.inspect.shell.analysis import analyse
from ciguard.inspect.sql_clients import CLIENTS, script_statements


def effects(script: str) -> set[str]:
    return {
        " ".join([statement.kind, *(statement.tables or ())])
        for statement in script_statements(script, analyse(script))
    }


@pytest.mark.parametrize(
    "script",
    [
        "psql -c 'drop table x'",
        "psql --command='drop table x'",
        "psql --command 'drop table x' db",
        "psql -Atqc 'drop table x'",
        "psql -d db -c'drop table x'",
        "psql -X \"$URL\" -c 'drop table x'",
        "PGPASSWORD=p /usr/bin/psql -h h -U u -c 'drop table x'",
        "psql -c 'select 1' -c 'drop table x'",
        "sudo -u postgres psql -c 'drop table x'",
        "su - postgres -c \"psql -c 'drop table x'\"",
        "bash -lc \"psql -c 'drop table x'\"",
        "ssh db.example.com \"psql -c 'drop table x'\"",
        "kubectl exec -i pod -- psql -c 'drop table x'",
        "docker exec db mysql -uroot -psecret -e 'drop table x'",
        "docker compose exec -T db psql -U u <<EOF\ndrop table x\nEOF",
        "heroku pg:psql -c 'drop table x'",
        "psql <<'EOF'\nselect 1;\ndrop table x;\nEOF",
        "psql <<< 'drop table x'",
        "echo 'drop table x' | psql db",
        "printf 'drop %s x' table | psql db",
        "echo ZHJvcCB0YWJsZSB4 | base64 -d | psql",
        'T=x; psql -c "drop table $T"',
        'for t in x; do psql -c "drop table $t"; done',
        "cat > m.sql <<EOF\ndrop table x;\nEOF\npsql -f m.sql",
        "echo 'drop table x' > ./m.sql && psql --file=m.sql",
        "mysql -e 'drop table x' db",
        "mysql -h h -pdrop -BNe 'drop table x'",
        "mysql --execute='/*!50000 drop table x */'",
        "mariadb -D db -e 'drop table x'",
        "mysql --init-command='drop table x'",
        "sqlite3 app.db 'drop table x'",
        "sqlite3 -separator , app.db 'drop table x'",
        "sqlite3 app.db 'select 1' 'drop table x'",
        "sqlite3 -cmd 'drop table x' app.db .tables",
        "duckdb -c 'drop table x'",
        "duckdb app.db 'drop table x'",
        "sqlcmd -S h -Q 'drop table x'",
        "bq query --use_legacy_sql=false 'drop table x'",
        "snowsql -q 'drop table x'",
        "snow sql -q 'drop table x'",
        "clickhouse-client --query 'drop table x'",
        "cockroach sql -e 'drop table x'",
        "trino --execute 'drop table x'",
        "sqlplus u/p@db <<EOF\ndrop table x;\nEOF",
        "rails runner 'drop table x'",
    ],
)
def test_sql_is_found_where_clients_take_it(script: str) -> None:
    assert "drop x" in effects(script)
    assert "unknown" not in effects(script)


@pytest.mark.parametrize(
    "script",
    [
        "psql -f m.sql",
        "psql --file m.sql",
        "psql < m.sql",
        "cat m.sql | psql",
        "curl -s https://example.com/m.sql | mysql",
        "mysql db < dump.sql",
        "mysql -e 'source m.sql'",
        "sqlite3 app.db '.read m.sql'",
        "sqlite3 -init m.sql app.db",
        'psql -c "$SQL"',
        'psql -c "$(cat m.sql)"',
        "psql -v t=users <<'EOF'\ndelete from :t where id = 1\nEOF",
        "sqlplus u/p@db @m.sql",
        'psql -c "select * from users where id=$ID"',
    ],
)
def test_sql_that_is_not_at_hand_is_unknown(script: str) -> None:
    assert "unknown" in effects(script)


def test_a_variable_does_not_hide_the_statement_around_it() -> None:
    assert effects('psql -c "drop table $T"') == {"drop", "unknown"}
    assert effects("psql <<EOF\ndelete from $T\nEOF") == {"delete", "unknown"}


@pytest.mark.parametrize(
    "script",
    [
        "psql",
        "psql -l",
        "psql -c '\\dt'",
        "psql --version",
        "psql -h localhost -p 5432 -U drop -d table",
        "mysql -u root -pdrop",
        "bq ls drop",
        "bq show dataset.table",
        "sqlite3 app.db .schema",
        "git commit -m 'Drop table users'",
        "git grep 'delete from users'",
        "echo 'drop table users'",
        "grep -rn 'drop table' src",
        "cat > m.sql <<EOF\ndrop table x;\nEOF",
        "gh pr create --title 'Truncate table logs'",
        "apt-get install -y mysql-client psql",
        "psql -v ON_ERROR_STOP=1 -c 'begin'",
        "npm run update; set -e",
        "grep psql -f m.sql",
    ],
)
def test_what_sends_no_sql_has_none(script: str) -> None:
    assert effects(script) == set()


def test_a_script_that_the_shell_would_not_take_is_looked_through() -> None:
    assert "drop" in {effect.split()[0] for effect in effects("psql -c 'drop table x")}
    assert "delete" in {effect.split()[0] for effect in effects("psql <<< $(( 'delete from t")}


def test_programs_in_other_languages_are_read_by_pattern() -> None:
    assert effects("python3 -c \"cur.execute('drop table x')\"") == {"drop"}
    assert effects("node <<EOF\ndb.query(`delete from t`)\nEOF") == {"delete"}


def test_strings_in_sql_are_no_statements() -> None:
    assert effects("psql -c \"insert into log values ('drop table x')\"") == {"insert log"}


@given(
    st.lists(
        st.sampled_from(
            [*CLIENTS, "-c", "-e", "-f", "--", "-", "'drop table x'", "db", "<<<", "|", ";", "query", "$X"]
        ),
        max_size=8,
    ).map(" ".join)
)
def test_any_words_of_a_client_are_read_without_an_error(script: str) -> None:
    assert all(isinstance(effect, str) for effect in effects(script))
