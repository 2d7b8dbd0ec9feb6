"""Built-in fabrics as other tools would describe them."""

from typing import Any

import yaml

from fabric.model import Fabric


def containerlab_of(fabric: Fabric) -> str:
    """A topology file whose labels say all that a topology file can say."""
    nodes: dict[str, Any] = {}
    for switch in fabric.switches:
        labels = {"bytetracker-role": switch.tier, "bytetracker-address": switch.address}
        if switch.pod is not None:
            labels["bytetracker-pod"] = switch.pod
        nodes[switch.name] = {
            "kind": "nokia_srlinux",
            "mgmt-ipv4": switch.exporter_addresses[0],
            "labels": labels,
        }
    for server in fabric.servers:
        addresses = ",".join(f"{address}/24" for address in server.addresses)
        nodes[server.name] = {"kind": "linux", "labels": {"bytetracker-address": addresses}}
    for prober in fabric.probers:
        labels = {"bytetracker-role": "prober", "bytetracker-address": f"{prober.address}/24"}
        nodes[prober.name] = {"kind": "linux", "labels": labels}
    for collector in fabric.collectors:
        labels = {"bytetracker-role": "collector"}
        nodes[collector.name] = {"kind": "linux", "mgmt-ipv4": collector.address, "labels": labels}
    links = [{"endpoints": [f"{a}:{a_port}", f"{b}:{b_port}"]} for a, a_port, b, b_port in cables_of(fabric)]
    return yaml.safe_dump(
        {"name": fabric.name, "topology": {"nodes": nodes, "links": links}}, sort_keys=False
    )


def netbox_of(fabric: Fabric) -> dict[str, Any]:
    """What the API lists of a network with these devices, cabled interface by interface."""
    devices: list[dict[str, Any]] = []
    interfaces: dict[tuple[str, str], dict[str, Any]] = {}
    addresses: list[dict[str, Any]] = []

    def interface(device: str, name: str, **more: Any) -> dict[str, Any]:
        record = interfaces.get((device, name))
        if record is None:
            number = len(interfaces) + 1
            record = {
                "id": number,
                "device": {"id": ids[device], "name": device},
                "name": name,
                "type": {"value": "100gbase-x-qsfp28"},
                "mgmt_only": False,
                "connected_endpoints": None,
                "connected_endpoints_type": None,
            } | more
            interfaces[device, name] = record
        return record

    def address(of: dict[str, Any], text: str) -> None:
        addresses.append(
            {
                "id": len(addresses) + 1,
                "address": text,
                "status": {"value": "active"},
                "role": None,
                "assigned_object_type": "dcim.interface",
                "assigned_object_id": of["id"],
            }
        )

    roles = [(s.name, s.tier, s.pod) for s in fabric.switches]
    roles += [(s.name, "server", None) for s in fabric.servers]
    roles += [(p.name, "prober", None) for p in fabric.probers]
    roles += [(c.name, "collector", None) for c in fabric.collectors]
    ids = {name: 1000 + row for row, (name, _, _) in enumerate(roles)}
    for name, role, pod in roles:
        devices.append(
            {
                "id": ids[name],
                "name": name,
                "role": {"slug": role, "name": role.title()},
                "site": {"slug": fabric.name},
                "location": None if pod is None else {"slug": pod, "name": pod},
                "status": {"value": "active", "label": "Active"},
                "primary_ip4": None,
                "oob_ip": None,
            }
        )
    for switch in fabric.switches:
        address(interface(switch.name, "Loopback0", type={"value": "virtual"}), f"{switch.address}/32")
        address(interface(switch.name, "Management1", mgmt_only=True), f"{switch.exporter_addresses[0]}/16")
    for a, a_port, b, b_port in cables_of(fabric):
        near, far = interface(a, a_port), interface(b, b_port)
        for this, that in ((near, far), (far, near)):
            nested = {"id": that["id"], "name": that["name"], "device": that["device"]}
            this |= {"connected_endpoints": [nested], "connected_endpoints_type": "dcim.interface"}
    for server in fabric.servers:
        for each in server.addresses:
            address(interface(server.name, "eth1"), f"{each}/24")
    for prober in fabric.probers:
        address(interface(prober.name, "eth1"), f"{prober.address}/24")
    for collector in fabric.collectors:
        address(interface(collector.name, "mgmt", mgmt_only=True), f"{collector.address}/16")
    return {"devices": devices, "interfaces": list(interfaces.values()), "ip_addresses": addresses}


def cables_of(fabric: Fabric) -> list[tuple[str, str, str, str]]:
    """Each cable once: node, port, node, port. Servers and Probers have eth1."""
    port_to = {(s.name, p.peer): p.name for s in fabric.switches for p in s.ports}
    return [
        (switch.name, port.name, port.peer, port_to.get((port.peer, switch.name), "eth1"))
        for switch in fabric.switches
        for port in switch.ports
        if port.peer not in fabric.switch_by_name or switch.name < port.peer
    ]
