"""Tag templates in QuickJS: one hardened context a template, in the thread that created it.

The sandbox itself is the JavaScript beside this file, joined into one closure by `script`.
"""
