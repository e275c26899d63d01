// Where the pages of the newspaper lead beside themselves, in the demonstration: to the live page of its pools and
// to the panel of troubles. Whoever starts the server sets them; without them no page has such links.

'use strict';

module.exports = { live: null, panel: process.env.NEWS_PANEL || null };
