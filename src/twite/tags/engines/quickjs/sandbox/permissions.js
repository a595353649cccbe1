// Permissions, checked at each call as at Google. `policy` is a PermissionPolicy.

function compiledPolicy(policy) {
  const expressions = (list) =>
    (list || []).map((one) => (one === '.*' ? null : new RegExp('^(?:' + one + ')$')));
  // In a row, `*` for a whole cell also means everything.
  const cells = (list) => expressions(list.map((one) => (one === '[\\s\\S]*' ? '.*' : one)));
  const rows = (list) => (list || []).map(cells);
  return {
    plain: policy.plain || [], logging: policy.logging || '',
    request: policy.request || [], response: policy.response || [],
    urls: expressions(policy.urls), pixels: expressions(policy.pixels),
    headers: expressions(policy.headers), query: expressions(policy.query),
    event: expressions(policy.event), readCookies: expressions(policy.read_cookies),
    responseHeaders: expressions(policy.response_headers), keys: expressions(policy.keys),
    scopes: expressions(policy.scopes), messages: rows(policy.messages),
    tables: rows(policy.tables), documents: rows(policy.documents),
    setCookies: (policy.set_cookies || []).map((one) => ({
      place: cells([one.name, one.domain, one.path]), secure: one.secure, session: one.session,
    })),
  };
}

// null means "everything", so that the usual grant needs no regular expression.
function fits(expressions, text) {
  for (let i = 0; i < expressions.length; i++) {
    const one = expressions[i];
    if (one === null || regexTest(one, text)) return true;
  }
  return false;
}

function everything(expressions) {
  return expressions.length > 0 && expressions[0] === null;
}

function rowFits(rows, texts) {
  for (let i = 0; i < rows.length; i++) {
    let at = 0;
    while (at < texts.length && (rows[i][at] === null || regexTest(rows[i][at], texts[at]))) at++;
    if (at === texts.length) return true;
  }
  return false;
}

function cookieFits(name, cookie) {
  const session = cookie.expires === undefined && cookie.max_age === undefined;
  return granted.setCookies.some(
    (rule) =>
      rowFits([rule.place], [name, cookie.domain || '', cookie.path || '']) &&
      (rule.secure === null || rule.secure === !!cookie.secure) &&
      (rule.session === null || rule.session === session),
  );
}

function messageFits(type, action) {
  return granted.messages.some(
    (row) => (row[0] === null || regexTest(row[0], type)) && (row[1] === null || regexTest(row[1], action)),
  );
}

function need(allowed, permission, what) {
  if (!allowed) deny(permission, what);
}

function needPlain(permission) {
  if (granted.plain.indexOf(permission) < 0) deny(permission, '');
}

// Google's sandbox throws. Twite also throws, and logs which permission is missing.
function deny(permission, what) {
  const text = 'permission denied: ' + permission + (what ? ' (' + what + ')' : '');
  push({ effect: 'log', text, denied: permission });
  throw new Error(text);
}

function queryPermission(permission, first, second, third, fourth) {
  const text = first === undefined ? '' : makeString(first);
  switch (permission) {
    case 'send_http': return fits(granted.urls, hrefFor(text));
    case 'send_pixel_from_browser': return fits(granted.pixels, hrefFor(text));
    case 'read_event_data': return text ? fits(granted.event, text) : everything(granted.event);
    case 'get_cookies': return fits(granted.readCookies, text);
    case 'set_cookies': return cookieFits(text, cookieOptions(second));
    case 'read_request':
      if (text === 'header') return fits(granted.headers, makeString(second).toLowerCase());
      if (text === 'query_parameter') return fits(granted.query, makeString(second));
      return granted.request.indexOf(text) >= 0;
    case 'access_response':
      if (second === 'header') return fits(granted.responseHeaders, makeString(third).toLowerCase());
      return granted.response.indexOf(second) >= 0;
    case 'use_message':
      return messageFits(makeString(second), text);
    case 'logging': return granted.logging === 'all' || (granted.logging !== '' && debugging());
    case 'use_custom_private_keys': return fits(granted.keys, text);
    case 'use_google_credentials': return fits(granted.scopes, text);
    case 'access_bigquery': {
      const place = copied(second) || {};
      const names = [place.projectId || PROJECT, place.datasetId, place.tableId, first];
      return rowFits(granted.tables, names.map(makeString));
    }
    case 'access_firestore': {
      const place = copied(second) || {};
      return rowFits(granted.documents, [place.projectId || PROJECT, place.path, first].map(makeString));
    }
    default: return granted.plain.indexOf(permission) >= 0;
  }
}

// Most URLs of templates are already in their normal form: a DNS name in lower case, no port, no
// segment that begins with a dot, and only characters that the standard does not escape.
const NORMAL =
  /^https?:\/\/(?:[a-z0-9-]+\.)*[a-z][a-z0-9-]*(?:\/(?!\.|%2[eE])[\w.~!$&()*+,;=:@%-]*)+(?:\?[\w.~!$&()*+,;=:@%\/?-]+)?$/;

const LONGEST_NORMAL = 4000; // a regular expression needs memory in proportion to a text

function hrefFor(text) {
  if (text.length < LONGEST_NORMAL && regexTest(NORMAL, text)) return text;
  const url = parseAddress(text);
  return url ? hrefOf(url) : '';
}
