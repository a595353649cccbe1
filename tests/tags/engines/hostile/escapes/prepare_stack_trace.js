try { null.x; } catch (error) { return !!error.prepareStackTrace || !!error.captureStackTrace; }
return true;
