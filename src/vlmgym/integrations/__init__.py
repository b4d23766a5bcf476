"""The games behind the interfaces of other frameworks."""
