function* endless() { for (;;) yield 1; }
endless().drop(9007199254740990).next();
