"""Profiles: whose a look is."""

from tests.bench.profiles import shares, table

RAW = """
<module> (infra/cli/main.py:9);run (asyncio/runners.py:1);send (uvicorn/protocols/http.py:7) 3
<module> (infra/cli/main.py:9);answer (ingest/batch.py:1);seal (infra/sealing/cipher.py:5) 4
<module> (infra/cli/main.py:9);answer (ingest/batch.py:1);copy (hmac.py:5) 2
<module> (infra/cli/main.py:9);answer (ingest/batch.py:2) 1
_bootstrap (threading.py:9);fetch (aiokafka/protocol/api.py:3) 2
""".strip()


def test_a_look_counts_for_the_innermost_module_of_ours_and_the_library_beneath_it() -> None:
    total, by_module = shares(RAW.splitlines())
    assert total == 12
    assert by_module == {
        "(server, loop, clients)": {"uvicorn": 3, "aiokafka": 2},
        "infra/sealing/cipher.py": {"": 4},
        "ingest/batch.py": {"hmac": 2, "": 1},
    }


def test_the_table_begins_with_the_greatest_share() -> None:
    lines = table(*shares(RAW.splitlines())).splitlines()
    assert lines[2:5] == [
        "| 41.7% | (server, loop, clients) | uvicorn 25.0%, aiokafka 16.7% |",
        "| 33.3% | infra/sealing/cipher.py |  |",
        "| 25.0% | ingest/batch.py | hmac 16.7% |",
    ]
