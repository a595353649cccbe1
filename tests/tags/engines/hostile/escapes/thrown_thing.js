// What is thrown is looked at: it must not be able to do anything then.
throw { get stack() { throw 'again'; }, toString() { throw 'and again'; } };
