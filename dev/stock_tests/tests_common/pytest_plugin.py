"""The plugin that the conftest of the stock provider names; its hook tests use none of the real one."""
