'use strict';
'require view';
'require form';
'require rpc';
'require uci';

// The options of /etc/config/fau3. What a value must be is said by the program (see
// src/config/table.rs); what is checked here is what it says, so that a mistake is
// told before it is saved. An empty field is the default, shown in grey.

const callCheckConfig = rpc.declare({
	object: 'fau3',
	method: 'check_config',
	expect: { '': {} }
});

const PATH_LENGTH_MAX = 4095;
const SOCKET_LENGTH_MAX = 107;

function number(min, max) {
	return (section_id, value) => {
		if (value === '')
			return true;
		if (/^(0|[1-9][0-9]*)$/.test(value) && +value >= min && +value <= max)
			return true;
		return _('A whole number from %d to %d').format(min, max);
	};
}

function isPort(text, min) {
	return /^[0-9]{1,5}$/.test(text) && +text >= min && +text <= 65535;
}

function isIPv4(text) {
	return /^([0-9]{1,3}\.){3}[0-9]{1,3}$/.test(text) &&
		text.split('.').every((part) => +part <= 255 && String(+part) === part);
}

function isIPv6(text) {
	const [ address, ...zone ] = text.split('%');
	if (zone.length > 1 || (zone.length && !/^[^\s\/%\[\]]{1,15}$/.test(zone[0])))
		return false;
	// What the browser takes for an address in a URL is one.
	try {
		return /^[0-9a-fA-F:.]+$/.test(address) && new URL('http://[%s]/'.format(address)) != null;
	} catch (e) {
		return false;
	}
}

function isAddress(text, portMin) {
	const parts = /^(?:\[(.*)\]|([^\[\]:]*)):([0-9]+)$/.exec(text);
	return parts != null && isPort(parts[3], portMin) &&
		(parts[1] != null ? isIPv6(parts[1]) : isIPv4(parts[2]));
}

function isHost(text) {
	const last = text.replace(/\.+$/, '').split('.').pop();
	return /^[-A-Za-z0-9._]{1,253}$/.test(text) && !/^[0-9]*$/.test(last);
}

// Any value for which `right` holds, one of some words, or none.
function text(right, expected, ...words) {
	return (section_id, value) => (value === '' || words.includes(value) || right(value)) ? true : expected;
}

const listen = (value) => isAddress(value, 0);
const LISTEN = _('An IP address with its port, such as [::]:8901 or 192.168.1.1:8901');

function isPeer(value) {
	const at = value.lastIndexOf(':');
	return isAddress(value, 1) || (isHost(value.slice(0, at)) && isPort(value.slice(at + 1), 1));
}

function isUrl(value) {
	const parts = /^ws:\/\/([^\/]+)(\/[\x21-\x22\x24-\x7e]*)?$/i.exec(value);
	return parts != null && isPeer(parts[1]);
}

const isName = (value) => /^[-A-Za-z0-9._]{1,64}$/.test(value);
const NAME = _('1 to 64 letters, digits, dots, dashes and underscores');

// A device, or a logical network.
const isInterface = (value) => /^[A-Za-z0-9._][-A-Za-z0-9._]{0,31}$/.test(value);

function isPath(lengthMax) {
	return (value) => new TextEncoder().encode(value).length <= lengthMax && !/[\x00-\x1f\x7f-\x9f]/.test(value);
}

// Printable ASCII without spaces around it.
const isClient = (value) => /^[\x21-\x7e]([\x20-\x7e]{0,62}[\x21-\x7e])?$/.test(value);

// As browsers name it: without a path. '*': every page.
const isOrigin = (value) => /^(\*|null|file:\/\/|[A-Za-z0-9+.-]+:\/\/[^\s\/'"?#@]+)$/.test(value);

function option(section, tab, type, name, title, description, default_, validate) {
	const o = section.taboption(tab, type, name, title, description);
	if (default_ != null)
		o.placeholder = default_;
	if (validate != null)
		o.validate = validate;
	return o;
}

function choice(section, tab, name, title, description, words) {
	const o = section.taboption(tab, form.ListValue, name, title, description);
	for (const [ word, meaning ] of words)
		o.value(word, meaning);
	o.default = words[0][0];
	return o;
}

function flag(section, tab, name, title, description) {
	const o = section.taboption(tab, form.Flag, name, title, description);
	o.default = o.enabled;
	o.rmempty = false;
	return o;
}

function renderNode(m) {
	const s = m.section(form.TypedSection, 'node', _('This router'));
	s.anonymous = true;
	s.tab('general', _('General'));
	s.tab('files', _('Files and logging'));

	flag(s, 'general', 'enabled', _('Enabled'), _('Start the service, now and at boot.'));
	option(s, 'general', form.Value, 'name', _('Name'),
		_('By which the other routers know this one. Default: the name of this host.'),
		null, text(isName, NAME));
	option(s, 'general', form.Value, 'console', _('Console'),
		_('Where a page, /status and /metrics are served over HTTP, or <code>off</code>. It asks for no password.'),
		'127.0.0.1:8903', text(listen, LISTEN + ', ' + _('or off'), 'off'));

	choice(s, 'files', 'log', _('Log'), _('The least severe of what goes into the system log.'), [
		[ 'info', _('Changes') ], [ 'error', _('Errors only') ], [ 'warn', _('Warnings') ],
		[ 'debug', _('Reasons') ], [ 'trace', _('Every message') ]
	]);
	option(s, 'files', form.Value, 'instance', _('Instance'),
		_('Which router of this machine this one is: the default ports and files of each are its own.'), '1', number(1, 9));
	const path = text(isPath(PATH_LENGTH_MAX), _('A path'));
	option(s, 'files', form.Value, 'data_dir', _('Data folder'),
		_('For what may be lost with the power; for messages too, if they are kept on disk: then choose a folder on flash or on a stick.'),
		'/tmp/fau3', path);
	option(s, 'files', form.Value, 'identity', _('Identity file'),
		_('The key that is this router\'s identity; made at the first start.'), '/etc/fau3/identity.key', path);
	option(s, 'files', form.Value, 'control', _('Control socket'),
		_('Where <code>fau3 status</code> asks.'), '/var/run/fau3/fau3.sock',
		text(isPath(SOCKET_LENGTH_MAX), _('A path of at most %d bytes').format(SOCKET_LENGTH_MAX)));
}

function renderClients(m) {
	const s = m.section(form.TypedSection, 'clients', _('Clients'),
		_('Radios, phones and browsers (FAU3VOM-D).'));
	s.anonymous = true;
	s.tab('general', _('Doors'));
	s.tab('delivery', _('Delivery'));
	s.tab('storage', _('Storage'));

	option(s, 'general', form.DynamicList, 'listen', _('Listen on'),
		_('Where clients connect. <code>[::]</code> is every address, IPv4 included.'), '[::]:8901', text(listen, LISTEN));
	option(s, 'general', form.Value, 'max_clients', _('Clients at once'), null, '256', number(1, 10000));
	option(s, 'general', form.DynamicList, 'allow_client', _('Allowed clients'),
		_('Their ids. Without any: anyone.'), 'AA:BB:CC:DD:EE:FF', text(isClient, _('A client id: printable ASCII characters')));
	option(s, 'general', form.DynamicList, 'allow_origin', _('Allowed pages'),
		_('Where web pages are from that may connect beside this router\'s own; <code>*</code>: all. Radios always may.'), 'https://intercom.example', text(isOrigin, _('An address without a path, such as https://intercom.example, or *')));
	option(s, 'general', form.Value, 'hosts_file', _('Hosts file'),
		_('Gives the main server\'s name this router\'s own addresses, which the service carries to dnsmasq, so that clients find it; or <code>off</code>.'),
		'/var/run/fau3/hosts', text(isPath(PATH_LENGTH_MAX), _('A path, or off')));

	option(s, 'delivery', form.Value, 'retry_interval_s', _('Send again after'),
		_('Seconds until a message that is not confirmed is sent again.'), '5', number(1, 3600));
	option(s, 'delivery', form.Value, 'retry_count', _('So many times'), null, '3', number(0, 100));
	option(s, 'delivery', form.Value, 'session_grace_s', _('Wait for a client'),
		_('Seconds for which a client that is gone finds everything as it left it.'), '60', number(0, 86400));

	choice(s, 'storage', 'storage', _('Confirmed messages survive'), null, [
		[ 'ram', _('nothing: they are kept in memory') ], [ 'disk', _('a power cut, if the data folder is on flash') ]
	]);
	option(s, 'storage', form.Value, 'copies', _('Copies'),
		_('Routers that must hold a message before it is confirmed, this one included.'), '2', number(1, 16));
	option(s, 'storage', form.Value, 'storage_max_kib', _('Room for messages'),
		_('KiB. 4096 are some 440 messages of 5 s.'), '4096', number(64, 1048576));
	option(s, 'storage', form.Value, 'storage_max_age_s', _('Kept for'),
		_('Seconds.'), '3600', number(1, 604800));
}

function renderMesh(m) {
	const s = m.section(form.TypedSection, 'mesh', _('Mesh'), _('The other routers (FAU3VOM-E).'));
	s.anonymous = true;
	s.tab('general', _('General'));
	s.tab('finding', _('Finding routers'));

	flag(s, 'general', 'enabled', _('Enabled'), _('Work together with other routers.'));
	option(s, 'general', form.DynamicList, 'listen', _('Listen on'),
		_('TCP for messages and UDP for beacons.'), '[::]:8902', text(listen, LISTEN));
	option(s, 'general', form.Value, 'key', _('Mesh key file'),
		_('Who has the same key belongs to the mesh. Make one with <code>fau3 keys --new-mesh-key</code>. Without the file the well-known key is used, which keeps nobody out.'),
		'/etc/fau3/mesh.key', text(isPath(PATH_LENGTH_MAX), _('A path')));
	option(s, 'general', form.Value, 'beacon_ms', _('Heartbeat'), _('Milliseconds between two.'), '250', number(50, 10000));

	const discovery = s.taboption('finding', form.MultiValue, 'discovery', _('Find routers by'),
		_('Several at once, or none alone.'));
	discovery.value('mdns', _('Multicast DNS on the local network'));
	discovery.value('batman', _('The originators of batman-adv'));
	discovery.value('off', _('None: only those named below'));
	discovery.validate = (section_id, value) => {
		const words = L.toArray(value);
		return (words.length > 1 && words.includes('off')) ? _('None goes with nothing else') : true;
	};
	option(s, 'finding', form.DynamicList, 'interface', _('Multicast DNS on'),
		_('Devices or logical networks. Without any: where addresses are private or link-local only.'), 'lan',
		text(isInterface, _('The name of an interface or a logical network')));
	option(s, 'finding', form.DynamicList, 'peer', _('Routers to call'),
		_('In any case: their addresses, or names, with port.'), '192.168.1.2:8902',
		text(isPeer, _('An IP address or a host\'s name with its port, such as 192.168.1.2:8902')));
}

function renderServers(m) {
	let s = m.section(form.NamedSection, 'default_server', 'default_server', _('Main server'),
		_('The server that leads while it is there. Without it the routers lead themselves.'));
	s.addremove = true;
	s.tab('general', _('General'));
	option(s, 'general', form.Value, 'name', _('Name'), _('That clients look up.'), 'fau3vomdMain', text(isName, NAME));
	option(s, 'general', form.Value, 'url', _('URL'), null, 'ws://10.10.11.156:8901',
		text(isUrl, _('A WebSocket URL with its port and without TLS, such as ws://10.10.11.156:8901')));
	option(s, 'general', form.Value, 'check_interval_ms', _('Check'),
		_('Milliseconds between two looks whether it is there.'), '250', number(50, 60000));
	option(s, 'general', form.Value, 'hold_ms', _('Back after'),
		_('Milliseconds for which it has to answer before it counts as back; up to four times that long if it keeps going away.'), '3000', number(0, 600000));

	s = m.section(form.TableSection, 'extra_server', _('Routers that lead in its place'),
		_('By name, the highest priority first. Routers that are not listed lead after these.'));
	s.anonymous = true;
	s.addremove = true;
	s.sortable = true;
	const o = s.option(form.Value, 'name', _('Name'));
	o.rmempty = false;
	o.validate = (section_id, value) => isName(value) ? true : NAME;
}

// What keeps the saved file from being used, or is odd about it.
function renderCheck(check) {
	if (!check || !Array.isArray(check.messages) || !check.messages.length)
		return E([]);
	return E('div', { 'class': check.good ? 'alert-message notice' : 'alert-message error', 'id': 'fau3-check' }, [
		E('h4', [ check.good ? _('About the saved file') : _('The saved file has errors: a running service goes on with the old one, a stopped one waits') ]),
		E('ul', check.messages.map((message) => E('li', [ message ])))
	]);
}

return view.extend({
	load() {
		return Promise.all([ L.resolveDefault(callCheckConfig(), null), uci.load('fau3') ]);
	},

	render([ check ]) {
		// A section that the file leaves out is there to be filled in.
		for (const type of [ 'node', 'clients', 'mesh' ])
			if (!uci.sections('fau3', type).length)
				uci.add('fau3', type, type);

		const m = new form.Map('fau3', _('fau3'),
			_('Keeps voice going when the main server or the uplink is gone. Options that need a restart are named on the status page; the others take effect without any client noticing.'));
		renderNode(m);
		renderClients(m);
		renderMesh(m);
		renderServers(m);
		return m.render().then((node) => E([], [ renderCheck(check), node ]));
	}
});
