return this !== undefined;
