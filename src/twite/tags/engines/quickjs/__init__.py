"""Tag templates in QuickJS: one hardened context per template, in the thread that created it.

The sandbox consists of the JavaScript files in this folder, which `script` joins into one closure.
"""
