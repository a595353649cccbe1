return (function () { return this; })() !== undefined;
