return !!({}).__defineGetter__ || !!({}).__lookupGetter__ || !!({}).__lookupSetter__;
