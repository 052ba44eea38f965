"""``python -m ciguard`` is the ``ciguard`` command."""

from ciguard.cli import main

raise SystemExit(main())
