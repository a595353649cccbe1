class Made {}
return !!Made.constructor;
