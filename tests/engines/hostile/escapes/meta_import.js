return typeof import.meta;
