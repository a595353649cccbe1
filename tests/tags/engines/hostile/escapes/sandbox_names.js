return typeof enter !== 'undefined' || typeof current !== 'undefined' || typeof granted !== 'undefined' ||
  typeof evaluate !== 'undefined' || typeof push !== 'undefined';
