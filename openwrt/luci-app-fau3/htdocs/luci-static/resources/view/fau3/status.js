'use strict';
'require view';
'require rpc';
'require poll';
'require dom';

// What the running router says of itself and of the mesh, anew every few seconds.
// Names are others' words: they stand in lists of children, which LuCI shows as text,
// and never alone, which it takes for HTML.

const POLL_S = 3;
// A router may have thousands of clients and rooms; a page has not.
const ROWS_MAX = 200;

const callStatus = rpc.declare({ object: 'fau3', method: 'status', expect: { '': {} } });
const callIdentity = rpc.declare({ object: 'fau3', method: 'identity', expect: { '': {} } });
const callCheckConfig = rpc.declare({ object: 'fau3', method: 'check_config', expect: { '': {} } });

const MODES = {
	server: _('leads'),
	follower: _('follows'),
	default: _('the main server leads'),
	waiting: _('waits until it knows who leads')
};

function duration(seconds) {
	if (seconds < 120)
		return _('%d s').format(seconds);
	if (seconds < 7200)
		return _('%d min').format(seconds / 60);
	if (seconds < 172800)
		return _('%d h').format(seconds / 3600);
	return _('%d days').format(seconds / 86400);
}

function table(id, titles, rows, placeholder) {
	const shown = rows.slice(0, ROWS_MAX).map((row) => E('tr', { 'class': 'tr' },
		row.map((cell, at) => E('td', { 'class': 'td', 'data-title': titles[at] }, [ cell ?? '-' ]))));
	if (!rows.length)
		shown.push(E('tr', { 'class': 'tr placeholder' }, E('td', { 'class': 'td', 'colspan': titles.length }, E('em', [ placeholder ]))));
	if (rows.length > ROWS_MAX)
		shown.push(E('tr', { 'class': 'tr' }, E('td', { 'class': 'td', 'colspan': titles.length },
			[ _('and %d more: fau3 status shows all').format(rows.length - ROWS_MAX) ])));
	return E('table', { 'class': 'table', 'id': id }, [
		E('tr', { 'class': 'tr table-titles' }, titles.map((title) => E('th', { 'class': 'th' }, [ title ])))
	].concat(shown));
}

function facts(id, rows) {
	return E('table', { 'class': 'table', 'id': id }, rows.map(([ title, value ]) => E('tr', { 'class': 'tr' }, [
		E('td', { 'class': 'td left', 'width': '33%' }, [ title ]),
		E('td', { 'class': 'td left' }, [ value ])
	])));
}

function box(kind, id, title, lines) {
	return E('div', { 'class': 'alert-message ' + kind, 'id': id }, [
		E('h4', [ title ]),
		E('ul', lines.map((line) => E('li', [ line ])))
	]);
}

function section(title, ...content) {
	return E('div', { 'class': 'cbi-section' }, [ E('h3', [ title ]) ].concat(content));
}

// What leads, and who this is.
function renderLead(status, identity) {
	const leader = status.coordinator == null ? _('nobody yet') : status.coordinator;
	const rows = [
		[ _('Leads'), E('strong', { 'id': 'fau3-leader' }, [ leader ]) ],
		[ _('This router'), '%s: %s'.format(status.name, MODES[status.mode] || status.mode) ],
		[ _('Stands in for the main server'), status.deputy ?? '-' ],
		[ _('Up for'), duration(status.uptime_s) ],
		[ _('Version'), status.version ],
		[ _('Peer id'), status.peer_id ]
	];
	if (identity && identity.id)
		rows.push([ _('Mesh key'), identity.mesh_key_fingerprint
			? _('fingerprint %s').format(identity.mesh_key_fingerprint)
			: _('none: the well-known one, which keeps nobody out') ]);
	return section(_('Who leads'), facts('fau3-lead', rows));
}

// What is on its way: messages without a confirmation, clients that are expected back.
function renderWaiting(status) {
	const { records, deliveries } = status;
	const open = Math.max(0, deliveries.sent - deliveries.resends - deliveries.confirmed - deliveries.given_up);
	return section(_('What waits'), facts('fau3-waiting', [
		[ _('Messages held'), _('%d (%.1f KiB), %d expired').format(records.count, records.bytes / 1024, records.expired) ],
		[ _('Confirmed by this router alone'), '%d'.format(records.confirmed_single) ],
		[ _('Deliveries without a confirmation'), _('%d; %d given up since the start').format(open, deliveries.given_up) ],
		[ _('Clients that may come back'), '%d'.format(status.detached) ],
		[ _('Written to flash since the start'), _('%d small files, %d transactions').format(
			status.writes ? status.writes.files : 0, status.writes ? status.writes.transactions : 0) ]
	]));
}

function renderMesh(status) {
	return [
		section(_('Routers'), table('fau3-routers',
			[ _('Router'), _('Mode'), _('Priority'), _('Hears'), _('Clients') ],
			status.routers.map((router) => [
				router.name === status.name ? E('strong', [ router.name ]) : router.name,
				MODES[router.mode] || router.mode,
				router.priority == null ? '-' : '%d'.format(router.priority),
				L.toArray(router.neighbours).join(', ') || '-',
				'%d'.format(router.clients)
			]), _('This router is in no mesh'))),
		section(_('Clients'), table('fau3-clients',
			[ _('Client'), _('Room'), _('Router'), _('Connected for') ],
			status.clients.map((client) => [ client.client_id, client.room, client.router, duration(client.alive_s) ]),
			_('None is connected'))),
		section(_('Rooms'), table('fau3-rooms',
			[ _('Room'), _('Clients'), _('Messages') ],
			status.rooms.map((room) => [ room.room, '%d'.format(room.clients), '%d'.format(room.records) ]),
			_('None has clients or messages')))
	];
}

function renderStatus([ status, identity, check ]) {
	if (!status || status.error || !status.routers) {
		const lines = (status && status.error) || [ _('No answer') ];
		const content = [ box('warning', 'fau3-down', _('The service does not answer'), [].concat(lines)) ];
		if (check && check.good === false)
			content.push(box('error', 'fau3-config', _('It waits until these are mended in /etc/config/fau3'), check.messages));
		return E('div', content);
	}
	const content = [];
	if (status.warnings.length)
		content.push(box('warning', 'fau3-warnings', _('Needs attention'), status.warnings));
	content.push(renderLead(status, identity), renderWaiting(status));
	return E('div', content.concat(renderMesh(status)));
}

function ask() {
	return L.resolveDefault(callStatus(), null).then((status) => Promise.all([
		status,
		L.resolveDefault(callIdentity(), null),
		// Why it is down is worth asking only while it is.
		(status && !status.error) ? null : L.resolveDefault(callCheckConfig(), null)
	]));
}

return view.extend({
	load: ask,

	render(answers) {
		const shown = E('div', { 'id': 'fau3-status' }, renderStatus(answers));
		poll.add(() => ask().then((answers) => dom.content(shown, renderStatus(answers))), POLL_S);
		return E([], [ E('h2', _('fau3')), shown ]);
	},

	handleSave: null,
	handleSaveApply: null,
	handleReset: null
});
