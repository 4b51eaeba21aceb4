"""What was tried for the testbed of the adaptive chapter: python -m book.adaptive.search.

Each candidate runs on three seeds whose clips and images no reported row has; accuracies are those
on their test clips. KD's gain over labels alone decides between testbeds, and for each base method
its own gain between its constants, on clips and on images alike, with six candidates each.
"""
