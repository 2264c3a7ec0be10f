"""Brokers: who numbers publications, keeps their history and carries them to every node's hub."""

from portcast.brokers.base import (
    Broker,
    Deliver,
    Recovery,
    ResumePoint,
    TopicInfo,
    is_single_topic,
    parse_resume_id,
    resume_id,
)
from portcast.brokers.memory import MemoryBroker
from portcast.brokers.state_file import StateFile

__all__ = [
    "Broker",
    "Deliver",
    "MemoryBroker",
    "Recovery",
    "ResumePoint",
    "StateFile",
    "TopicInfo",
    "is_single_topic",
    "parse_resume_id",
    "resume_id",
]
