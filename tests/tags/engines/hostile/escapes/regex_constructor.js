return !!/x/.constructor || !!require('createRegex')('x').constructor;
