return !!require('Object').keys(arguments).constructor;
