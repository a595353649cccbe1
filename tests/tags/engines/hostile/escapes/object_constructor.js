return !!({}).constructor || !![].constructor || !!''.constructor || !!(1).constructor || !!true.constructor;
