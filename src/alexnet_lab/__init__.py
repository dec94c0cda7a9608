"""AlexNet Lab: the experiments of Krizhevsky, Sutskever and Hinton (2012), one command each."""

__version__ = "0.1.0"
