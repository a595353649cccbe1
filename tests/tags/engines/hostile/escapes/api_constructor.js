return !!require('getType').constructor || !!require('JSON').parse.constructor || !!require.constructor;
