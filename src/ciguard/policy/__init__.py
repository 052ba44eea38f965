"""What the maintainer wants: the policy file, how it is trusted, and what it decides."""

import os

# What is installed beside ciguard has no say in what a policy means; and to look for plugins takes longer than to read
# a policy (docs of pydantic, "Plugins").
os.environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"
