"""Customers, contacts, sites, devices and technicians."""
