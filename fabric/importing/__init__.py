"""Inventories from what people have: what another tool knows becomes a draft, the draft a fabric.

    containerlab.py, netbox.py  ->  Draft  ->  roles, pods, cabling  ->  Fabric  ->  text with its gaps marked

Nothing is made up without a line in the report (report.py).
"""
